"""Diversity figures have known values on texts small enough to count by hand."""

import math

import numpy as np
import pytest

from diffusionlm.evaluation.diversity import (
    bootstrap_interval,
    distinct_n,
    ngram_entropy,
    self_bleu,
    verbatim_share,
    words,
)


def test_words_keep_clitics_and_hyphens_and_part_marks() -> None:
    assert words("It's a kid-friendly pub, £20.") == ["It's", "a", "kid-friendly", "pub", ",", "£", "20", "."]


def test_distinct_n_counts_over_all_texts() -> None:
    assert distinct_n(["a b a b", "a b"], 2) == pytest.approx(2 / 4)  # ab ba ab, ab
    assert distinct_n(["a b c d e"], 4) == 1.0


def test_entropy_of_equal_shares_is_the_log_of_their_number() -> None:
    assert ngram_entropy(["a b", "c d"]) == pytest.approx(math.log(4))
    assert ngram_entropy(["a a", "a a"]) == pytest.approx(0.0)
    assert ngram_entropy(["a b c"], 2) == pytest.approx(math.log(2))


def test_self_bleu_is_one_for_copies_and_small_for_texts_without_a_common_word() -> None:
    assert self_bleu(["a b c d e"] * 3) == pytest.approx(1.0)
    assert self_bleu(["a b c d", "e f g h"]) < 0.1


def test_self_bleu_agrees_with_bleu_computed_by_hand() -> None:
    # each against the other: precisions 4/5, 3/4, 2/3, 1/2, equal length
    expected = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert self_bleu(["a b c d e", "a b c d f"]) == pytest.approx(expected)


def test_self_bleu_clips_at_the_other_texts_and_punishes_brevity() -> None:
    # "a a" against "a b b": unigrams clip to 1/2, brevity exp(1 - 3/2); "a b b" against "a a": 1/3, no penalty
    expected = (math.exp(1 - 3 / 2) * 1 / 2 + 1 / 3) / 2
    assert self_bleu(["a a", "a b b"], max_n=1) == pytest.approx(expected)


def test_verbatim_share_ignores_case_and_spacing_only() -> None:
    assert verbatim_share(["The Mill  is cheap.", "The Mill is cheap"], ["the mill is cheap."]) == 0.5


def test_bootstrap_covers_a_known_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        interval = bootstrap_interval(np.mean, generator.normal(size=40), resamples=200, level=0.9, seed=seed)
        covered += interval.low <= 0 <= interval.high
    assert 0.8 < covered / 200 < 0.97


def test_paired_bootstrap_keeps_items_together() -> None:
    left = np.arange(50.0)
    difference = lambda a, b: float(np.mean(a - b))  # noqa: E731
    paired = bootstrap_interval(difference, left, left - 1, paired=True)
    assert (paired.low, paired.high) == (1.0, 1.0)
    assert bootstrap_interval(difference, left, left - 1).low < 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: distinct_n(["a b"], 4), "none of the texts has 4 words"),
        (lambda: distinct_n(["a b"], 0), "n of at least 1"),
        (lambda: self_bleu(["one"]), "two texts or more"),
        (lambda: verbatim_share([], ["a"]), "at least one"),
        (lambda: bootstrap_interval(np.mean, []), "one item or more"),
        (lambda: bootstrap_interval(np.mean, [1], [1, 2], paired=True), "one length"),
        (lambda: bootstrap_interval(np.mean, [1, 2], level=1.5), "level"),
    ],
)
def test_undefined_figures_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_one_string_is_not_a_list_of_texts() -> None:
    with pytest.raises(TypeError, match="wrap it"):
        ngram_entropy("a b c")
