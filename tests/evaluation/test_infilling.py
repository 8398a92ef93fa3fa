"""Hidden words leave the rest of a text unchanged, and figures count what came back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusionlm.evaluation.infilling import HiddenWords, hide_words, infilling_figures

TEXT = "The Mill is a cheap pub near the river."


@given(st.text(alphabet="ab .,", min_size=1).filter(str.strip), st.sampled_from([0.25, 0.5, 1.0]), st.integers(0, 9))
def test_filling_in_the_answers_gives_the_text_back(text: str, share: float, seed: int) -> None:
    task = hide_words(text, share, seed)
    assert task.filled(task.answers) == text
    hidden = sum(len(answer.split()) for answer in task.answers)
    assert hidden == max(1, round(share * len(text.split())))


def test_adjacent_words_are_one_gap_and_the_template_has_a_span_for_it() -> None:
    task = HiddenWords(TEXT, ((4, 11), (14, 19)))
    assert task.answers == ["Mill is", "cheap"]
    assert task.template([3, 1]) == "The [SPAN:3] a [SPAN:1] pub near the river."
    assert hide_words("a b c", 1.0, 0).gaps == ((0, 5),)


def test_the_same_words_are_hidden_for_every_model() -> None:
    assert hide_words(TEXT, 0.5, 3) == hide_words(TEXT, 0.5, 3)
    assert len({hide_words(TEXT, 0.5, seed).gaps for seed in range(20)}) > 5


def test_figures_count_words_gaps_and_texts() -> None:
    tasks = [HiddenWords(TEXT, ((4, 11), (14, 19))), HiddenWords(TEXT, ((0, 3),))]
    figures = infilling_figures(tasks, [["Mill was", " cheap "], ["The"]])
    assert figures.exact_gaps.value == pytest.approx(2 / 3)
    assert figures.exact_words == pytest.approx(3 / 4)
    assert figures.exact_texts == 0.5
    assert (figures.texts, figures.gaps, figures.perplexity) == (2, 3, None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hide_words(TEXT, 0.0, 0), "share=0.0"),
        (lambda: hide_words("  ", 0.5, 0), "text with words"),
        (lambda: HiddenWords(TEXT, ((0, 3),)).filled([]), "1 gaps, got 0 fills"),
        (lambda: infilling_figures([], []), "0 tasks"),
    ],
)
def test_what_cannot_be_hidden_or_filled_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
