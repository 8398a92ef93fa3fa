"""What nobody friendly would send: the answer is a sentence, and the service goes on."""

import contextlib
import json
import re
import socket
import time

import httpx
import pytest

KEY = "a-key-that-is-long-enough"
GOOD = {"model": "tiny", "prompt": "", "steps": 2}


def post(address, path="/v1/completions", key=KEY, **given):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.post(address + path, headers=headers, timeout=60, **given)


@pytest.fixture
def service(serve):
    with serve(keys=[KEY], slow=1.0, samples=8, length=40, steps=64, characters=2000) as (_, address):
        yield address
        assert post(address, json=GOOD).status_code == 200, "the service does not go on"


def error(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["message"].endswith((".", "?"))
    assert "Traceback" not in body["message"]
    assert not re.search(r"/\w+/[\w/]*\.py|diffusionlm/guidance", body["message"]), "a path of the server"
    return body["message"]


def test_wrong_and_missing_keys(service) -> None:
    assert "needed" in error(post(service, key=None, json=GOOD), 401)
    assert "not known" in error(post(service, key="x" * 30, json=GOOD), 401)
    assert "needed" in error(httpx.post(service + "/v1/completions", headers={"authorization": "Basic x"}), 401)
    error(httpx.get(service + "/v1/models"), 401)
    assert httpx.get(service + "/health").status_code == 200


def test_bodies_that_are_too_large(service) -> None:
    assert "larger than 1,000,000 bytes" in error(post(service, content=b" " * 10_000_000), 413)

    def pieces():
        for _ in range(100):
            yield b" " * 100_000

    with contextlib.suppress(httpx.TransportError):  # without a length; it may be closed before all is sent
        error(post(service, content=pieces()), 413)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"prompt": "\xff\xfe"}', "not UTF-8"),
        (b'{"prompt": "\\ud800", "model": "tiny"}', "half of a character"),
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"a": NaN}', "NaN is no number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply"),
        (b'{"steps": 2, "steps": 3}', "'steps' is given twice"),
        (b'{"guidance": [{"name": "pii", "name": "phrases"}]}', "'name' is given twice"),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
)
def test_bodies_that_are_no_json(service, raw, words) -> None:
    assert words in error(post(service, content=raw), 400)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"promt": "x"}, "did you mean 'prompt'"),
        ({"model": None}, "'model'"),
        ({"model": "../../etc"}, "no model"),
        ({"n": 9}, "at most 8"),
        ({"n": 0}, "at least 1"),
        ({"n": 10**30}, "at most 8"),
        ({"steps": 65}, "1..64"),
        ({"steps": True}, "steps"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**70}, "seed"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature": 1e-300}, "temperature"),
        ({"stream": "yes"}, "'stream'"),
        ({"stream_options": []}, "'stream_options'"),
        ({"guidance": {"pii": {"name": "phrases"}}}, "another name"),
        ({"guidance": [{"name": "grammar", "grammar": "start: " + "(" * 900 + '"a"' + ")" * 900}]}, "too deeply"),
        ({"max_tokens": 41}, "1..40"),
        ({"max_tokens": 0}, "1..40"),
        ({"max_tokens": 10**9}, "1..40"),
        ({"steps": 10**9}, "1..64"),
        ({"prompt": "word " * 9, "max_tokens": 40}, "shorten the prompt"),
        ({"prompt": "[SPAN:1000000000]"}, "at most 40"),
        ({"prompt": "[SPAN:" + "9" * 1900 + "]"}, "1900 digits"),
        ({"prompt": "[SPAN]" * 100}, "at most 40"),
        ({"prompt": "x" * 2001}, "at most 2,000"),
        ({"prompt": ["a"] * 9}, "at most 8"),
        ({"prompt": []}, "one for all"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "[ SPAN ]"}, "no span"),
        ({"prompt": "word " * 300}, "the model takes 64"),
        ({"spans": [[4, 2]]}, "does not fit"),
        ({"spans": [[1]]}, "list of"),
        ({"sampler": "diffusers.DDIMScheduler"}, "no sampler"),
        ({"sampler": '{"name": "DDIMScheduler"}'}, "no sampler"),
        ({"guidance": "phrases"}, 'Write [{"name": "phrases"}]'),
        ({"guidance": ["pii", "length"]}, 'Write [{"name": "pii"}, {"name": "length"}]'),
        ({"guidance": 3}, "must be a list such as"),
        ({"guidance": {"nme": "pii"}}, """named by "name", not by 'nme'"""),
        ({"guidance": [{"name": "choice"}]}, "the text has none"),
        ({"guidance": [{"name": "phrases", "nonsense": 1}]}, "no setting 'nonsense'"),
        ({"guidance": [{"name": "nonsense"}]}, "not among"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"logprobs": 3}, "logprobs=3 is not supported"),
        ({"best_of": 5}, "best_of=5 is not supported"),
        ({"response_format": {"type": "json_object"}}, "needs a schema"),
        ({"tools": []}, "no field 'tools'"),
    ],
)
def test_fields_that_cannot_be(service, change, words) -> None:
    answer = post(service, json={**GOOD, **change})
    assert words in error(answer, 404 if "no model" in words else 400)


@pytest.mark.parametrize("name", [3, ["euler"], {"name": "euler"}, "Euler"])
def test_samplers_that_are_no_name_of_ours(name) -> None:
    from diffusionlm.serving.rows import check_sampler

    with pytest.raises(ValueError, match="no sampler"):
        check_sampler(name)


def test_routes_that_are_not(service) -> None:
    assert "/v1/completions" in error(post(service, path="/v1/embeddings", json=GOOD), 404)
    error(httpx.get(service + "/v1/completions"), 405)
    error(httpx.get(service + "/v1/models/..%2f..%2fetc", headers={"authorization": f"Bearer {KEY}"}), 404)


def raw_socket(address):
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_clients_that_send_slowly_are_let_go(service) -> None:
    with raw_socket(service) as connection:  # no end of the headers
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n")
        assert connection.recv(1000) == b""
    with raw_socket(service) as connection:  # a good request, then headers without an end
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in connection.recv(10_000).split(b"\r\n")[0]
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n")
        while connection.recv(1000):
            pass
    with raw_socket(service) as connection:  # no end of the body
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 1000\r\n\r\n"
        )
        connection.sendall(head.encode() + b"{")
        assert b" 408 " in connection.recv(1000).split(b"\r\n")[0]


def test_a_client_that_leaves_in_the_middle_of_a_stream(service) -> None:
    body = {**GOOD, "steps": 60, "stream": True, "n": 4}
    with httpx.stream(
        "POST", service + "/v1/completions", json=body, headers={"authorization": f"Bearer {KEY}"}
    ) as answer:
        line = next(answer.iter_lines())
        assert json.loads(line.removeprefix("data: "))["choices"]
    deadline = time.monotonic() + 30
    while "diffusionlm_requests_open 0.0" not in httpx.get(service + "/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
