"""How much the page takes on at once, and how it says no."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from diffusionlm.studio.limits import Limits
from diffusionlm.studio.visitor import Visitor
from diffusionlm.studio.writing import carry_out, checkpoints

pytest.importorskip("gradio")
VALUES = ("restaurant", "The [SPAN:2].", "", 1, 4, 0.8, 0, "", True)


def test_an_order_that_takes_too_long_ends_with_a_sentence():
    from diffusionlm.studio.page import _run

    assert "restaurant" in checkpoints()
    *_, last = _run(VALUES, [], {}, Limits(seconds=0))
    state = json.loads(last[0])
    assert state["state"] == "error"
    assert "longer than 0 s; ask for fewer texts, steps or plugins" in state["message"]
    *_, last = _run(VALUES, [], {}, Limits())
    assert json.loads(last[0])["state"] == "done"


def test_the_page_on_the_demo_states_the_limits_that_hold(root):
    page = (root / "docs" / "demo.md").read_text()
    limits = Limits()
    for stated in (
        f"{limits.characters} characters, {limits.spans} spans, {limits.tokens} tokens in a span",
        f"{limits.samples} texts, {limits.steps} steps, {limits.plugins} plugins, {limits.seconds:.0f} seconds",
        f"{limits.running} order at work, {limits.waiting} waiting",
    ):
        assert stated in page


@pytest.fixture
def crowded(monkeypatch):
    """A server that works on one order, lets one wait, and begins none before it is told to."""
    import uvicorn

    from diffusionlm.studio import page, server

    go = threading.Event()

    def held(*arguments, **settings):
        assert go.wait(60)
        yield from carry_out(*arguments, **settings)

    monkeypatch.setattr(page, "carry_out", held)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(
        uvicorn.Config(server.application(Limits(waiting=1, running=1)), port=port, log_level="warning")
    )
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not running.started and time.monotonic() < until:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}", go
    go.set()
    running.should_exit = True
    thread.join(20)


def test_who_comes_when_the_queue_is_full_is_asked_to_come_back(crowded):
    url, go = crowded
    config = json.load(urllib.request.urlopen(f"{url}/config", timeout=60))
    texts = {}

    def write(number):
        texts[number] = Visitor(url, config).write(Text=f"Number {number} [SPAN:2].", Texts=1, Steps=4)[0]

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(1)  # the first is taken up before the second waits
    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        Visitor(url, config).write(Text="Too many [SPAN:2].", Texts=1, Steps=4)
    assert "full" in refused.value.read().decode()
    go.set()
    for thread in threads:
        thread.join(60)
    assert {number: state["state"] for number, state in texts.items()} == {0: "done", 1: "done"}
    assert Visitor(url, config).write(Text="Later [SPAN:2].", Texts=1, Steps=4)[0]["state"] == "done"
