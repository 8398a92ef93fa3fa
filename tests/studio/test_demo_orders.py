"""Orders, their limits, and the code that asks for the same."""

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusionlm.cli import main
from diffusionlm.commands._compose import compose_config, split_overrides
from diffusionlm.studio.catalogue import cards
from diffusionlm.studio.limits import Limits, Refused
from diffusionlm.studio.order import Order, command, python_code
from diffusionlm.studio.writing import Outcome, carry_out


@pytest.fixture(scope="module")
def catalogue():
    return {card.name: card for card in cards()}


def read(catalogue, plugins=None, **changes):
    values = {"checkpoint": "restaurant", "text": "The [SPAN].", "prompt": "", "num_samples": 1, "steps": 4}
    values |= {"temperature": 0.8, "seed": 0, "sampler": ""} | changes
    return Order.read(**values, plugins=plugins or {}, cards=catalogue, samplers=("euler",), limits=Limits())


def test_an_order_is_read(catalogue):
    order = read(catalogue, {"phrases": {"include": "pub"}}, seed=None, sampler="euler", prompt=" name[A] ")
    assert (order.prompt, order.sampler, order.guidance) == ("name[A]", "euler", (("phrases", {"include": ["pub"]}),))
    assert 0 <= order.seed < 10_000


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"text": "a" * 601}, "takes 600"),
        ({"text": "[SPAN] " * 7}, "7 spans"),
        ({"text": "[SPAN:3] [SPAN:999999999999999]"}, "at most 256"),
        ({"text": "[SPAN:0300]"}, "at most 256"),
        ({"prompt": "a" * 601}, "takes 600"),
        ({"num_samples": 9}, "from 1 to 8"),
        ({"num_samples": 1.5}, "from 1 to 8"),
        ({"num_samples": None}, "from 1 to 8"),
        ({"num_samples": "2"}, "from 1 to 8"),
        ({"text": ["a"]}, "must be text"),
        ({"prompt": {"path": "/etc/passwd"}}, "must be text"),
        ({"sampler": 1}, "must be text"),
        ({"steps": 10_000}, "from 1 to 64"),
        ({"steps": float("nan")}, "from 1 to 64"),
        ({"seed": -1}, "The seed"),
        ({"temperature": 0}, "Temperature"),
        ({"temperature": "hot"}, "Temperature"),
        ({"sampler": "os.system"}, "no sampler"),
        ({"plugins": {"nothing": {}}}, "no plugin"),
        ({"plugins": {"classifier": {}}}, "only Python"),
        ({"plugins": {"phrases": {"_target_": "os.system"}}}, "no setting"),
        ({"plugins": {name: {} for name in "abcdefg"}}, "takes 6"),
    ],
)
def test_what_is_too_much_or_makes_no_sense_is_refused_with_a_sentence(catalogue, changes, says):
    with pytest.raises(Refused, match=says):
        read(catalogue, **changes)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
awkward = st.text(st.sampled_from("ab'\"\\${}[]:,=#% \n`!~*é"), max_size=8)


@settings(max_examples=8, deadline=None)  # Hydra takes its time
@given(
    prompt=texts | awkward,
    phrases=st.lists((texts | awkward).filter(str.strip), min_size=1, max_size=9),
    on=st.booleans(),
)
def test_a_command_comes_out_of_the_shell_and_hydra_as_it_went_in(prompt, phrases, on):
    wanted = {"include": phrases, "case_sensitive": on}
    order = Order("restaurant", f"x={phrases[0]} [SPAN]", prompt or None, 1, 4, 0.5, 7, None, (("phrases", wanted),))
    _, _, *words = [word for word in shlex.split(command(order)) if word != "\n"]  # lines are continued outside quotes
    assert words[words.index("--") + 1 :] == [order.text]
    overrides, rest = split_overrides(words[: words.index("--")])
    config = compose_config("generate", ["+" + o if o.startswith("guidance=") else o for o in overrides])
    assert not rest
    assert config["guidance"] == {"phrases": wanted}
    assert (config["prompt"], config["seed"], config["temperature"]) == (order.prompt, 7, 0.5)


@settings(max_examples=30)
@given(phrase=(texts | awkward).filter(str.strip))
def test_python_code_holds_every_text_as_it_is(phrase):
    order = Order("restaurant", phrase, phrase, 1, 4, 0.5, 7, "euler", (("phrases", {"include": [phrase]}),))
    seen = {}

    class Pipe:
        @classmethod
        def from_pretrained(cls, name):
            return lambda *args, **named: seen.update(named, text=args[0])

    body = python_code(order).partition("pipe = ")[2].rpartition("print")[0]
    names = {"DiffusionLMPipeline": Pipe, "Phrases": lambda **named: named}
    exec("pipe = " + body, names)
    assert seen["text"] == seen["prompt"] == phrase
    assert seen["guidance"] == {"include": [phrase]}


def test_a_plugin_that_is_a_function_is_named_in_the_code(order):
    from diffusionlm.guidance import register
    from diffusionlm.guidance.registry.plugins import unregister

    @register("plain")
    def plain(state):
        """Nothing."""
        return state.probs[..., 3].sum(-1)

    try:
        code = python_code(order(guidance=[("plain", {"weight": 2.0})]))
    finally:
        unregister("plain")
    assert 'guidance={"name": "plain", "weight": 2.0},' in code


@pytest.fixture(scope="module")
def on_the_screen():
    """An order with awkward text, and the texts that the page shows for it."""
    rules = (("phrases", {"include": ['it\'s "cosy"'], "whole_words": False}), ("length", {"words": [6, 12]}))
    order = Order("restaurant", "a=b; $HOME [SPAN].", "name[The Mill]", 2, 4, 0.7, 11, "euler", rules)
    *_, outcome = carry_out(order)
    assert isinstance(outcome, Outcome)
    return order, outcome.result.texts


def test_the_copied_python_writes_what_is_on_the_screen(on_the_screen, capsys):
    order, texts = on_the_screen
    exec(compile(python_code(order), "copied", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.splitlines() == texts


def test_the_copied_command_writes_what_is_on_the_screen(on_the_screen, capsys):
    order, texts = on_the_screen
    line = command(order)
    assert line.startswith("diffusionlm generate")
    shown = line.replace("diffusionlm", "printf '%s\\0'", 1)  # the words, as a shell passes them on
    words = subprocess.run(["/bin/sh", "-c", shown], capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == texts
