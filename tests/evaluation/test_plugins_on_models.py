"""The table of plugins and models: cells that work, cells that are refused, and faults that it must not take for either."""

import random

import pytest

from benchmarks import bench_plugins_on_models as table
from benchmarks.bench_plugins_on_models import Cell, as_page, rows, try_out
from benchmarks.bench_rules_on_models import breaks, tally
from benchmarks.random_rules import SINGLE, draw_rules
from benchmarks.tiny_models import MODELS, tiny_model
from diffusionlm.guidance import Guidance, Length
from diffusionlm.guidance.registry.plugins import available

LATENT = 'a function of yours, strategy "latent"'


@pytest.mark.parametrize(
    ("model", "row", "outcome", "said"),
    [
        ("gaussian", LATENT, "works", ""),
        ("langflow", LATENT, "works", ""),
        ("masked", LATENT, "refused", "moves noisy embeddings"),
        ("llada2", LATENT, "refused", "moves noisy embeddings"),
        ("gemma", "`classifier-free`", "refused", "without the prompt"),
        ("gemma", 'a function of yours, strategy "particles"', "refused", "in the loop of another library"),
        ("masked", "`toxicity`, nothing trained for the vocabulary", "refused", "Train one with: diffusionlm"),
        ("masked", "`part-of-speech`, nothing trained for the vocabulary", "refused", "guides --for"),
        ("bert", "`toxicity`", "works", ""),
        ("modernbert", "`pii`", "works", ""),
        ("qwen3", "`length`", "works", ""),
        ("gemma", "`grammar`", "works", ""),
        ("llada2", "`json-schema`", "works", ""),
        ("llada2", "`constituents`", "works", ""),
    ],
)
def test_a_cell(model, row, outcome, said):
    found = try_out(tiny_model(model), rows()[row])
    assert found.outcome == outcome, found
    assert said in found.said


class Breaks(Guidance):
    """Fails while text is being written."""

    error: type[Exception] = RuntimeError

    def energy(self, state):
        raise self.error("in the middle")


class Promises(Length):
    """Certifies what it does not do."""

    def certify(self, text, span_ids):
        return {"has a zebra": "zebra" in text}


@pytest.mark.parametrize("error", [RuntimeError, ValueError, FileNotFoundError])
@pytest.mark.parametrize("model", ["masked", "gemma"])
def test_what_fails_at_work_is_a_fault_whatever_it_raises(model, error):
    assert try_out(tiny_model(model), lambda: Breaks(error)).outcome == "fault"


def test_a_text_against_its_rule_is_a_fault():
    found = try_out(tiny_model("masked"), lambda: Promises(words=(1, 9)))
    assert found.outcome == "fault"
    assert "against its rule" in found.said


def test_the_page_numbers_each_sentence_once_and_stands_in_the_documentation(root):
    cells = {"`a`": {"x": Cell("works"), "y": Cell("refused", "It has 400 tokens.")}}
    cells["`b`"] = {"x": Cell("refused", "It has 12 tokens."), "y": Cell("refused", "Other.")}
    page = as_page(cells, ["X", "Y"])
    assert "| `a` | works | refused (1) |" in page
    assert "| `b` | refused (1) | refused (2) |" in page
    assert page.endswith("1. It has N tokens.\n2. Other.\n")
    written = (root / "docs/plugins-on-models.md").read_text(encoding="utf-8")
    assert written.startswith(table.HEAD)
    assert "fault (" not in written
    for entry in available().values():
        assert f"\n| `{entry.name}` |" in written or entry.kind != "built-in"
    assert all(f"| {tiny_model(name).title} |" in written for name in MODELS)


@pytest.mark.parametrize("model", ["masked", "llada2"])
def test_random_rules_hold_where_they_would_be_broken_without(model):
    found = tally(tiny_model(model), draws=12, seed=1, rows=4)
    assert found.texts == 12 == sum(found.kinds.values())
    assert found.broken == []
    assert found.without[0] > 0


def test_a_violation_is_seen_and_draws_repeat():
    model = tiny_model("masked")
    assert breaks(model, [Length(words=2)], "one two three")
    assert not breaks(model, [Length(words=2)], "one two")
    first, second = ([str(draw_rules(random.Random(seed))) for seed in range(20)] for _ in range(2))
    assert first == second
    assert len({kind for kind, _ in (draw_rules(random.Random(seed)) for seed in range(60))}) > len(SINGLE)
