"""What strangers may try: too much, too many, nonsense, and more than the page offers."""

import json
import threading
import urllib.error
import urllib.request

import pytest

from diffusionlm.studio.visitor import Visitor

SECRET = "Quixotic Zeppelin 4711"


@pytest.fixture(scope="module")
def config(server):
    return json.load(urllib.request.urlopen(f"{server.url}/config", timeout=60))


def status(url: str, body: bytes | None = None) -> tuple[int, str]:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return answer.status, answer.read().decode("utf-8", errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", errors="replace")


def test_twenty_visitors_at_once_all_get_their_own_text(server, config):
    answers = {}

    def go(number: int) -> None:
        state, _ = Visitor(server.url, config).write(Text=f"Visitor {number} [SPAN:3].", Steps=4, Texts=1, Seed=number)
        answers[number] = state

    threads = [threading.Thread(target=go, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(280)
    texts = {number: state["sides"][0]["samples"][0]["text"] for number, state in answers.items()}
    assert len(texts) == 20
    assert all(text.startswith(f"Visitor {number} ") for number, text in texts.items())


def test_a_text_that_is_too_long_is_refused_with_a_sentence_and_the_page_lives_on(visit):
    one = visit()
    one.settings(Steps=4)
    one.page.locator("#dl-text textarea").fill("a" * 700 + " [SPAN]")
    one.write()
    one.state("error")
    assert "707 characters; this page takes 600" in one.page.locator(".dl-message").text_content()
    one.page.locator("#dl-text textarea").fill("A [SPAN:2].")
    one.write()
    assert all(text.startswith("A ") for text in one.finished())


def test_what_cannot_be_is_said_before_any_work(visit):
    one = visit()
    one.page.locator("#dl-text textarea").fill("One two three four [SPAN:1].")
    one.switch_on("length").get_by_label("Words").fill("2")
    one.write()
    one.state("error")
    assert "words" in one.page.locator(".dl-message").text_content()


def test_a_rule_of_syntax_has_a_box_with_an_example_and_its_errors_point(visit):
    one = visit()
    box = one.switch_on("part-of-speech").get_by_label("Tags")
    assert box.get_attribute("placeholder") == "DET ADJ* NOUN (AUX|VERB) .*"
    box.fill("DET NUON")
    one.write()
    one.state("error")
    assert "did you mean 'NOUN'" in one.page.locator(".dl-message").text_content()
    assert one.page.locator(".dl-quoted").text_content() == "DET NUON\n    ^"


def test_a_plugin_that_breaks_is_named_and_the_page_lives_on(visit):
    one = visit()
    one.settings(Steps=4)
    one.switch_on("stumbles")
    one.write()
    one.state("error")
    said = one.page.locator(".dl-message").text_content()
    assert "'stumbles'" in said
    assert "stumbled" in said
    assert "/" not in said  # no folders of the server
    one.page.locator("#dl-plugin-stumbles").get_by_role("checkbox").first.uncheck()
    one.write()
    assert len(one.finished()) == 2


def test_an_order_can_be_stopped(visit):
    one = visit()
    one.settings(Steps=64, Texts=8)
    one.page.locator("#dl-text textarea").fill("")
    one.write()
    one.state("live")
    one.page.locator("#dl-stop").click()
    one.settings(Steps=4, Texts=1)
    one.page.locator("#dl-text textarea").fill("Afterwards [SPAN:2].")
    one.write()
    one.page.wait_for_function("document.querySelector('.dl-text')?.textContent.startsWith('Afterwards ')")
    one.state("done")


def test_text_of_a_visitor_is_never_taken_for_html(visit):
    one = visit()
    one.settings(Steps=4)
    one.page.on("dialog", lambda dialog: pytest.fail("a script of the visitor ran"))
    one.page.locator("#dl-text textarea").fill("<img src=x onerror=alert(1)><b>[SPAN:8]")
    part = one.switch_on("phrases")
    part.get_by_label("Include").fill("<i>")
    part.get_by_label("Whole words").uncheck()
    one.write()
    assert all(text.startswith("<img src=x onerror=alert(1)><b>") for text in one.finished())
    assert one.page.locator("#dl-results img, #dl-results i:not(.dl-scale):not([class^=dl-c]), .dl-text b").count() == 0


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/static/../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/upload",
        "/gradio_api/component_server",
        "/gradio_api/run-history/buckets",
        "/gradio_api/vibe-code/",
        "/gradio_api/call/run",
        "/gradio_api/mcp/sse",
        "/monitoring",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_but_the_page_is_served(server, path):
    for body in (None, b"{}"):
        code, text = status(server.url + path, body)
        assert code == 404
        assert "root:" not in text


def test_bodies_beyond_the_limit_are_refused(server):
    assert status(f"{server.url}/gradio_api/queue/join", b"x" * 100_000)[0] == 413


def test_values_that_the_page_cannot_send_are_refused(server, config):
    visitor = Visitor(server.url, config)
    for changes in (
        {"Steps": 100_000},
        {"Texts": 1e9},
        {"Temperature": "1"},
        {"Text": ["a"]},
        {"Text": {"path": "/etc/passwd"}},
    ):
        state, _ = visitor.write(**changes)
        assert state.get("state") != "done"
    assert visitor.write(Steps=4, Texts=1)[0]["state"] == "done"


def test_pages_may_load_from_their_own_server_only(server):
    with urllib.request.urlopen(server.url, timeout=60) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_no_text_of_a_visitor_is_kept_or_sent_anywhere(visit, server):
    one = visit()
    one.settings(Steps=4)
    one.page.locator("#dl-text textarea").fill(f"{SECRET} [SPAN:2].")
    one.write()
    assert all(text.startswith(SECRET) for text in one.finished())
    one.page.locator("#dl-text textarea").fill(f"{SECRET} [SPAN:0].")  # an error that quotes the text
    one.write()
    one.state("error")
    one.switch_on("stumbles")
    one.page.locator("#dl-text textarea").fill(f"{SECRET} [SPAN:2].")
    one.write()
    one.page.locator(".dl-message", has_text="stumbles").wait_for()
    assert SECRET not in server.everything_kept()
    assert "Traceback" not in server.log.read_text()
    assert one.page.evaluate("JSON.stringify([localStorage, document.cookie])").find(SECRET) < 0
    assert not server.watched.exists(), server.watched.read_text()
