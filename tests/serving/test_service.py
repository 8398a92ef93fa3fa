"""The service as OpenAI's own client sees it: texts of their seeds, streams, errors, shared batches."""

import concurrent.futures
import re
import threading
import time

import httpx
import pytest

openai = pytest.importorskip("openai")


def client(address, key="nobody", **settings):
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, **{"max_retries": 0, "timeout": 60, **settings})


def metric(address, name):
    text = httpx.get(f"{address}/metrics").text
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def test_a_seed_gives_the_same_text_over_http_as_in_python(serve, tiny_pipe) -> None:
    from diffusionlm.spans import Canvas

    with serve() as (_, address):
        ask = client(address).completions.create
        own = {"steps": 4}
        assert [c.text for c in ask(model="tiny", prompt="", n=3, seed=5, extra_body=own).choices] == tiny_pipe(
            num_samples=3, seed=5, steps=4
        ).texts
        (filled,) = ask(model="tiny", prompt="The [SPAN:3] is [SPAN].", seed=5, extra_body=own).choices
        expected = tiny_pipe("The [SPAN:3] is [SPAN].", seed=5, steps=4)
        assert (filled.text, filled.spans, filled.seed) == (expected.texts[0], expected.spans[0], 5)
        (continued,) = ask(model="tiny", prompt="The Mill", max_tokens=7, seed=5, extra_body=own).choices
        expected = tiny_pipe(Canvas.from_prefix("The Mill", 7), seed=5, steps=4)
        assert "The Mill" + continued.text == expected.texts[0]
        (between,) = ask(
            model="tiny", prompt="The ", suffix=" pub", max_tokens=3, seed=5, echo=True, extra_body=own
        ).choices
        assert between.text.startswith("The ")
        assert between.text.endswith(" pub")
        body = {**own, "condition": ["name[The Mill]", "name[The Vaults]"]}
        both = ask(model="tiny", prompt="", seed=5, n=2, extra_body=body)
        expected = tiny_pipe(prompt=body["condition"], seed=5, num_samples=2, steps=4)
        assert [choice.text for choice in both.choices] == [text for own in expected.texts for text in own]
        assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
        ranges = ask(model="tiny", prompt="The Mill is a pub", seed=5, extra_body={**own, "spans": [[4, 8]]})
        expected = tiny_pipe(Canvas.from_ranges("The Mill is a pub", [(4, 8)]), seed=5, steps=4)
        assert ranges.choices[0].text == expected.texts[0]
        assert both.usage.completion_tokens == sum(
            len(i)
            for g in tiny_pipe(prompt=body["condition"], seed=5, num_samples=2, steps=4).token_ids
            for s in g
            for i in s
        )
        again = ask(model="tiny", prompt="", extra_body=own)
        assert again.choices[0].text == tiny_pipe(seed=again.choices[0].seed, steps=4).texts[0]


def test_guidance_holds_and_is_tried_before_it_waits(serve, tiny_pipe) -> None:
    with serve() as (_, address):
        ask = client(address).completions.create
        guidance = [{"name": "length", "tokens": [2, 5]}, {"name": "regex", "forbid": "[0-9]"}]
        own = {"steps": 3, "guidance": guidance}
        answer = ask(model="tiny", prompt="", n=2, seed=1, extra_body=own)
        expected = tiny_pipe(num_samples=2, seed=1, steps=3, guidance=guidance)
        assert [choice.text for choice in answer.choices] == expected.texts
        assert answer.choices[0].certificates == expected.certificates[0]
        with pytest.raises(openai.BadRequestError, match="cannot be satisfied"):
            ask(model="tiny", prompt="[SPAN:1]", extra_body=own)
        with pytest.raises(openai.BadRequestError, match="no setting 'judge'"):
            ask(model="tiny", prompt="", extra_body={"guidance": [{"name": "toxicity", "judge": "/etc"}]})
        shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}}
        from diffusionlm.guidance.registry.plugins import available

        if "json-schema" not in available():
            with pytest.raises(openai.BadRequestError, match="needs the guidance plugin 'json-schema'"):
                ask(model="tiny", prompt="", extra_body={"response_format": shape})


def test_guidance_that_takes_too_long_is_given_up_and_others_go_on(serve) -> None:
    with serve(compile=0.01) as (service, address):
        service.trial.warm_up()
        ask = client(address).completions.create
        slow = [{"name": "regex", "require": r"(\w{1,99}){1,99}"}]
        with pytest.raises(openai.BadRequestError, match=r"takes more than 0\.01 s"):
            ask(model="tiny", prompt="", extra_body={"guidance": slow})
        assert ask(model="tiny", prompt="", extra_body={"steps": 2}).choices


def test_a_stream_has_drafts_and_joins_to_the_finished_text(serve, tiny_pipe) -> None:
    with serve() as (_, address):
        stream = client(address).completions.create(
            model="tiny",
            prompt="The Mill",
            n=2,
            seed=5,
            max_tokens=6,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"steps": 6},
        )
        chunks = list(stream)
        whole = client(address).completions.create(
            model="tiny", prompt="The Mill", n=2, seed=5, max_tokens=6, extra_body={"steps": 6}
        )
    parts = [chunk.choices[0] for chunk in chunks if chunk.choices]
    for choice in whole.choices:
        own = [part for part in parts if part.index == choice.index]
        assert "".join(part.text for part in own) == choice.text
        assert own[-1].finish_reason == choice.finish_reason
        drafts = [part for part in own if getattr(part, "draft", None) is not None]
        assert all(part.text == "" and 1 <= part.step <= part.steps == 6 for part in drafts)
    assert chunks[-1].usage == whole.usage


def test_stop_ends_the_text_and_is_not_part_of_it(serve, tiny_pipe) -> None:
    text = tiny_pipe(seed=5, steps=4).texts[0]
    mark = text[len(text) // 2]
    with serve() as (_, address):
        ask = client(address).completions.create
        (choice,) = ask(model="tiny", prompt="", seed=5, stop=[mark, "never there"], extra_body={"steps": 4}).choices
        assert (choice.text, choice.finish_reason) == (text[: text.index(mark)], "stop")
        assert choice.spans == [choice.text]
        assert choice.certificates is None
        whole = ask(model="tiny", prompt="The", seed=5, extra_body={"steps": 4})
        mark = whole.choices[0].text[len(whole.choices[0].text) // 2]
        cut = ask(model="tiny", prompt="The", seed=5, stop=mark, extra_body={"steps": 4})
        assert cut.choices[0].spans == [cut.choices[0].text]
        assert cut.usage.completion_tokens < whole.usage.completion_tokens
        begin = ask(
            model="tiny", prompt="The", seed=5, stop=whole.choices[0].text[:2], echo=True, extra_body={"steps": 4}
        )
        assert (begin.choices[0].text, begin.choices[0].spans, begin.usage.completion_tokens) == ("The", [""], 0)
        with pytest.raises(openai.BadRequestError, match="one span"):
            ask(model="tiny", prompt="[SPAN] a [SPAN]", stop="x")


def test_chat_is_for_models_that_reply(serve, tiny_pipe) -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
    ]
    with serve() as (_, address), pytest.raises(openai.BadRequestError, match="no chat template and writes no replies"):
        client(address).chat.completions.create(model="tiny", messages=turns)
    tiny_pipe.card["replies"] = True
    with serve() as (_, address):
        create = client(address).chat.completions.create
        answer = create(model="tiny", messages=turns, seed=3, n=2, extra_body={"steps": 3})
        expected = tiny_pipe(prompt="Bye", seed=3, num_samples=2, steps=3).texts
        assert [choice.message.content for choice in answer.choices] == expected
        chunks = list(create(model="tiny", messages=turns, seed=3, stream=True, extra_body={"steps": 3}))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected[0]
        with pytest.raises(openai.BadRequestError, match="system"):
            create(model="tiny", messages=[{"role": "system", "content": "Be kind"}, *turns])


def test_choose_asks_the_pipeline_and_says_where_it_cannot(serve, tiny_pipe) -> None:
    class Asked:
        options, joint, best, draws = (("a", "b"),), {("a",): 0.75, ("b",): 0.25}, ("a",), 4

        def of(self, choice):
            return {"a": 0.75, "b": 0.25}

        def errors_of(self, choice):
            return {"a": 0.1, "b": 0.1}

    def choose(text, options=None, **settings):
        if options == ["only"]:
            raise ValueError("options must be a list of at least two texts")
        assert (text, settings["draws"], settings["guidance"]) == ("It is [SPAN].", 4, None)
        return Asked()

    body = {"model": "tiny", "text": "It is [SPAN].", "options": ["a", "b"], "draws": 4}
    had = hasattr(tiny_pipe, "choose")
    with serve() as (_, address):
        if not had:
            assert httpx.post(f"{address}/v1/choose", json=body).status_code == 501
        tiny_pipe.choose = choose
        answer = httpx.post(f"{address}/v1/choose", json=body).json()
        assert answer["choices"] == [
            [{"option": "a", "probability": 0.75, "error": 0.1}, {"option": "b", "probability": 0.25, "error": 0.1}]
        ]
        assert answer["best"] == ["a"]
        refused = httpx.post(f"{address}/v1/choose", json={**body, "options": ["only"]})
        assert (refused.status_code, "at least two" in refused.text) == (400, True)
        assert httpx.post(f"{address}/v1/choose", json={**body, "draws": 1000}).status_code == 400


def test_several_models_by_name(serve, tiny_pipe) -> None:
    with serve(models={"one": tiny_pipe, "two": tiny_pipe}) as (_, address):
        assert {model.id for model in client(address).models.list()} == {"one", "two"}
        assert client(address).models.retrieve("two").max_length == tiny_pipe.max_length
        assert client(address).completions.create(model="two", prompt="", extra_body={"steps": 2}).model == "two"
        with pytest.raises(openai.NotFoundError, match="did you mean 'two'"):
            client(address).completions.create(model="twoo", prompt="")


def test_many_clients_share_batches_and_get_their_own_texts(serve, tiny_pipe) -> None:
    expected = {seed: tiny_pipe("The [SPAN:4] pub", seed=seed, steps=8).texts[0] for seed in range(24)}
    with serve() as (_, address):
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            ask = client(address).completions.create
            own = {"steps": 8}
            jobs = {
                seed: pool.submit(ask, model="tiny", prompt="The [SPAN:4] pub", seed=seed, extra_body=own)
                for seed in expected
            }
            assert {seed: job.result().choices[0].text for seed, job in jobs.items()} == expected
        assert metric(address, "diffusionlm_texts_total") == 24
        assert metric(address, "diffusionlm_batch_rows_count") < 24
        assert metric(address, "diffusionlm_requests_open") == 0


class Held:
    """Holds every step of a pipeline until it is let go."""

    def __init__(self, pipe) -> None:
        self.begun, self.gate, self.stream = threading.Event(), threading.Event(), pipe.stream
        pipe.stream = self

    def __call__(self, *arguments, **settings):
        for item in self.stream(*arguments, **settings):
            self.begun.set()
            assert self.gate.wait(60)
            yield item


def test_a_batch_stops_when_its_client_has_left(serve, tiny_pipe) -> None:
    held = Held(tiny_pipe)
    with serve() as (_, address):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/completions", json={"model": "tiny", "prompt": "", "steps": 50}, timeout=1.0)
        assert held.begun.wait(60)
        deadline = time.monotonic() + 30
        while metric(address, "diffusionlm_requests_open") and time.monotonic() < deadline:
            time.sleep(0.05)
        held.gate.set()
        while not metric(address, "diffusionlm_texts_abandoned_total") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert metric(address, "diffusionlm_texts_abandoned_total") == 1
        assert 'status="499"' in httpx.get(f"{address}/metrics").text
        assert client(address).completions.create(model="tiny", prompt="", extra_body={"steps": 2}).choices


def test_time_is_limited_and_so_is_waiting(serve, tiny_pipe) -> None:
    held = Held(tiny_pipe)
    with serve(seconds=1.5, waiting_each=4, batch=1) as (_, address):
        body = {"model": "tiny", "prompt": "", "steps": 2}
        late = httpx.post(f"{address}/v1/completions", json=body, timeout=60)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
        refused = httpx.post(f"{address}/v1/completions", json={**body, "n": 5}, timeout=60)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "2"
        held.gate.set()


def test_a_stop_lets_open_requests_finish_and_takes_no_more(serve, tiny_pipe) -> None:
    held = Held(tiny_pipe)
    with concurrent.futures.ThreadPoolExecutor(1) as pool, serve() as (service, address):
        asked = pool.submit(client(address).completions.create, model="tiny", prompt="", extra_body={"steps": 2})
        assert held.begun.wait(60)
        assert httpx.get(f"{address}/ready").status_code == 200
        service.draining = True
        assert httpx.get(f"{address}/ready").status_code == 503
        assert httpx.get(f"{address}/health").status_code == 200
        refused = httpx.post(f"{address}/v1/completions", json={"model": "tiny", "prompt": ""})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
        held.gate.set()
        assert asked.result(60).choices
