"""Held-out figures of a reader, in lines for people: their certainty, and the meaning of their columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from diffusionlm.guidance.classifiers.reader import OUTSIDE
from diffusionlm.training.classifiers.labelled import Example

# With 20 texts on either side the area under the curve of a reader that guesses has a standard error of 0.09 (Mann and Whitney
# 1947: sqrt((m + n + 1) / 12mn)), so 0.32 to 0.68 is guessing; with fewer a figure can no longer tell a fair reader from none.
FEWEST = 20

LEGEND = (
    "u is the noise at which the reader saw the texts, from 0, finished, to 1, all noise. auc: how often a text with the label "
    "is ranked above one without; 0.5 is guessing, unknown: no held-out text has it, or all do. "
    "token F1: of tokens that carry a type."
)


def report_lines(
    figures: Mapping[str, Mapping[str, float]],
    valid: Sequence[Example],
    sequence_labels: Sequence[str],
    token_labels: Sequence[str],
) -> list[str]:
    """The figures of `evaluate_reader`, one line a noise level, and what is to be known of them.

    Args:
        figures: what it gave.
        valid: the held-out texts.
        sequence_labels: labels of texts that the reader learnt.
        token_labels: labels of its tokens.
    """
    lines = [
        f"held out, {level}: " + ", ".join(f"{name} {_shown(value)}" for name, value in found.items())
        for level, found in figures.items()
    ]
    lines.append(LEGEND)
    few = [
        f"{yes} with {name!r} and {no} without"
        for name in sequence_labels
        for yes, no in [_count(valid, name)]
        if min(yes, no) < FEWEST
    ]
    types = [name for name in token_labels if name != OUTSIDE]
    spans = Counter(kind for example in valid for *_, kind in example.spans or ())
    few += [f"{spans[name]} spans of {name!r}" for name in types if spans[name] < FEWEST]
    if few:
        lines.append(
            f"These figures say little: the held-out texts are too few ({'; '.join(few)}), and below {FEWEST} chance decides. "
            "Hold out more with data.holdout=0.3, or give data.valid=FILE."
        )
    return lines


def without_nan(figures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Figures for JSON, which has no NaN: None where there is no figure."""
    return {
        level: {name: None if math.isnan(value) else value for name, value in found.items()}
        for level, found in figures.items()
    }


def _count(valid: Sequence[Example], name: str) -> tuple[int, int]:
    known = [example.labels[name] >= 0.5 for example in valid if name in example.labels]
    return sum(known), len(known) - sum(known)


def _shown(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.3f}"
