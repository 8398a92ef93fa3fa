"""The bound of texts is that of the canvas they are written on, and its standard errors are those of means and ratios."""

import copy
import math

import pytest
import torch

from diffusionlm.evaluation.likelihood import TextNats, text_bounds
from diffusionlm.pipeline import DiffusionLMPipeline

TEXTS = ["The Mill is cheap.", "A pub.", "The Vaults serves Italian food.", "Prices start at £20."]


@pytest.fixture
def without_context(tiny_pipe_parts) -> DiffusionLMPipeline:
    """A network that adds nothing to the exact likelihood of tokens: its posterior is Bayes' for uniform text."""
    denoiser, tokenizer, schedule = tiny_pipe_parts
    denoiser = copy.deepcopy(denoiser)
    torch.nn.init.zeros_(denoiser.head.weight)
    torch.nn.init.zeros_(denoiser.head.bias)
    return DiffusionLMPipeline(denoiser, tokenizer, "ancestral", schedule, max_length=24)


def test_the_bound_is_tight_where_the_likelihood_is_known(without_context) -> None:
    # The exact posterior makes the bound an equality for every text: all V^L canvases are equally likely.
    bounds = text_bounds(without_context, TEXTS * 8, num_levels=64, batch_size=32)
    mean, error = bounds.per_text
    expected = 24 * math.log(without_context.tokenizer.vocab_size)
    assert error < 0.02 * expected
    assert abs(mean - expected) < 4 * error


def test_the_pads_of_the_canvas_cost_nats_and_count_as_one_end(without_context) -> None:
    short = text_bounds(without_context, TEXTS[1:2] * 16, num_levels=32, max_length=12)
    long = text_bounds(without_context, TEXTS[1:2] * 16, num_levels=32, max_length=24)
    assert long.per_text[0] > 1.5 * short.per_text[0]
    assert set(long.tokens) == {len(without_context.tokenizer.encode(TEXTS[1])) + 1}


def test_the_same_seed_gives_the_same_bound_and_a_second_pass_another(tiny_pipe) -> None:
    first = text_bounds(tiny_pipe, TEXTS, num_levels=4)
    assert text_bounds(tiny_pipe, TEXTS, num_levels=4).nats == first.nats
    assert text_bounds(tiny_pipe, TEXTS, num_levels=4, seed=1).nats != first.nats
    assert text_bounds(tiny_pipe, TEXTS, num_levels=4, self_conditioning=False).nats != first.nats


@pytest.mark.parametrize(
    ("texts", "settings", "error", "message"),
    [
        ([], {}, ValueError, "no text to bound"),
        (["The Mill is a cheap pub near the river. " * 3], {}, ValueError, "does not fit the canvas of 1 to 24"),
        (["", "The Mill"], {}, ValueError, "does not fit"),
        (["The Mill"], {"max_length": 65}, ValueError, "1..64, got 65"),
        ("The Mill", {}, TypeError, "wrap it in a list"),
    ],
)
def test_texts_that_cannot_be_bounded_are_refused(tiny_pipe, texts, settings, error, message: str) -> None:
    with pytest.raises(error, match=message):
        text_bounds(tiny_pipe, texts, **settings)


def test_means_and_standard_errors_are_those_of_the_textbook() -> None:
    nats = TextNats((10.0, 14.0, 18.0, 22.0), (5, 7, 9, 11))
    assert nats.per_text == pytest.approx((16.0, math.sqrt(80 / 3 / 4)))
    assert nats.per_token == pytest.approx((2.0, 0.0))  # length explains everything: the ratio is known exactly
    other = TextNats((9.0, 15.0, 17.0, 23.0), (5, 7, 9, 11))
    residuals = torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64)
    assert other.per_token == pytest.approx((2.0, float(residuals.std()) / 2 / 8))


def test_a_difference_is_paired() -> None:
    one, two = TextNats((10.0, 30.0), (5, 9)), TextNats((9.0, 29.0), (5, 9))
    assert one.minus(two).per_text == pytest.approx((1.0, 0.0))
    with pytest.raises(ValueError, match="same tokens"):
        one.minus(TextNats((9.0, 29.0), (5, 8)))
    with pytest.raises(ValueError, match="one figure for each text"):
        TextNats((1.0,), (1, 2))
