"""Samples that repel each other: what they share falls, and a text that is alone is left alone."""

import pytest
import torch
from torch.nn import functional as F

from diffusionlm.guidance import Diverse
from diffusionlm.guidance.testing.toy import ToyModel


def shared_runs(first, second, n):
    """Brute force: pairs of places at which both texts have one run of n tokens."""
    return sum(
        first[i : i + n] == second[j : j + n] for i in range(len(first) - n + 1) for j in range(len(second) - n + 1)
    )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_energy_of_finished_texts_is_the_share_of_common_runs(n):
    model = ToyModel()
    plugin = Diverse(n=n)
    plugin.bind(model.vocabulary)
    words = [i for i in range(len(model.vocabulary)) if i not in model.vocabulary.special_ids]
    length = model.layout.length
    texts = [[words[(k * k + i * (1 + k % 2)) % 5] for i in range(length)] for k in range(3)]
    probs = F.one_hot(torch.tensor(texts), len(model.vocabulary)).float()
    found = plugin.energy(model.state_of(probs, torch.zeros(3, length, model.dim)))
    for b, own in enumerate(texts):
        others = [c for k, c in enumerate(texts) if k != b]
        shares = [shared_runs(own, c, n) / (shared_runs(own, own, n) * shared_runs(c, c, n)) ** 0.5 for c in others]
        assert float(found[b]) == pytest.approx(sum(shares) / len(shares), rel=1e-5)


def test_rows_on_different_canvases_and_single_rows_do_not_repel():
    model = ToyModel()
    plugin = Diverse()
    plugin.bind(model.vocabulary)
    assert float(plugin.energy(model.state(rows=1))) == 0.0


def test_samples_share_less_and_the_same_call_gives_the_same_texts(tiny_pipe):
    call = {"text": "The [SPAN:6]", "num_samples": 6, "steps": 6, "seed": 3, "temperature": 0.3}
    plain = tiny_pipe(guidance=Diverse(n=1, weight=1e-9), **call)
    spread = tiny_pipe(guidance=Diverse(n=1), **call)

    def mean(result):
        values = result.trace.finished["diverse"]
        return sum(values) / len(values)

    assert mean(spread) < mean(plain)
    assert spread.texts == tiny_pipe(guidance=Diverse(n=1), **call).texts
    alone = {**call, "num_samples": 1}
    assert tiny_pipe(guidance=["diverse"], **alone).texts == tiny_pipe(**alone).texts


def test_runs_of_no_tokens_are_refused():
    with pytest.raises(ValueError, match="whole number of at least 1"):
        Diverse(n=0)


def test_plugins_of_one_kind_stand_beside_another(tiny_pipe):
    several = [Diverse(n=1), Diverse(n=2), Diverse(n=2, weight=3.0)]
    trace = tiny_pipe("A [SPAN:3]", num_samples=2, steps=2, seed=0, guidance=several).trace
    assert list(trace.finished) == ["diverse", "diverse#2", "diverse#3"]
