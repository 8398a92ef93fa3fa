"""Infilling: hide words of real sentences, let a model write them again, and count how many come back."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from diffusionlm.evaluation.diversity import Interval, bootstrap_interval
from diffusionlm.evaluation.judge import CausalJudge

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.text import TextTokenizer


@dataclass(frozen=True)
class HiddenWords:
    """A text and its gaps: character ranges [start, end), in order; adjacent words share one gap."""

    text: str
    gaps: tuple[tuple[int, int], ...]

    @property
    def answers(self) -> list[str]:
        """Words that stood in each gap."""
        return [self.text[start:end] for start, end in self.gaps]

    def filled(self, fills: Sequence[str]) -> str:
        """The text with `fills` in its gaps; all else is unchanged.

        Raises:
            ValueError: another number of fills than gaps.
        """
        if len(fills) != len(self.gaps):
            raise ValueError(f"the text has {len(self.gaps)} gaps, got {len(fills)} fills")
        pieces, last = [], 0
        for (start, end), fill in zip(self.gaps, fills, strict=True):
            pieces += [self.text[last:start], fill]
            last = end
        return "".join([*pieces, self.text[last:]])

    def template(self, lengths: Sequence[int]) -> str:
        """The text with spans in its gaps, `[SPAN:n]` with n tokens each, as the pipeline reads it."""
        return self.filled([f"[SPAN:{length}]" for length in lengths])


@dataclass(frozen=True)
class InfillingFigures:
    """Quality of filled gaps.

    Attributes:
        texts: how many texts there were.
        gaps: how many gaps they had.
        exact_words: share of hidden words that stand again at their place in their gap.
        exact_gaps: share of gaps filled as they were, with its bootstrap interval over texts.
        exact_texts: share of texts with all gaps filled as they were.
        perplexity: of the filled texts under the judge (None without a judge).
        real_perplexity: of the texts as they were.
    """

    texts: int
    gaps: int
    exact_words: float
    exact_gaps: Interval
    exact_texts: float
    perplexity: float | None
    real_perplexity: float | None

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for `json.dumps`."""
        return asdict(self)


def hide_words(text: str, share: float, seed: int) -> HiddenWords:
    """Hide `share` of the words of a text, at least one; which ones depends on `seed` and the text alone.

    Words are what stands between spaces, with the marks at them.

    Raises:
        ValueError: `share` outside (0, 1], or a text without words.
    """
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    if not 0 < share <= 1 or not spans:
        raise ValueError(f"hide_words needs a share in (0, 1] and a text with words, got share={share} and {text!r}")
    count = max(1, round(share * len(spans)))
    hidden = sorted(random.Random(f"{seed} {text}").sample(range(len(spans)), count))
    gaps: list[tuple[int, int]] = []
    for place, index in enumerate(hidden):
        if place and hidden[place - 1] == index - 1:
            gaps[-1] = (gaps[-1][0], spans[index][1])
        else:
            gaps.append(spans[index])
    return HiddenWords(text, tuple(gaps))


def gap_lengths(task: HiddenWords, tokenizer: TextTokenizer) -> list[int]:
    """Tokens of what stood in each gap, the space before it included."""
    return [len(ids) for ids in tokenizer.encode_batch(task.answers)]


def fill_gaps(
    pipe: DiffusionLMPipeline,
    tasks: Sequence[HiddenWords],
    *,
    steps: int = 32,
    temperature: float = 0.3,
    sampler: Any = None,
    seed: int = 0,
    batch_size: int = 64,
) -> list[list[str]]:
    """Words a pipeline writes into the gaps of each text, as many tokens in a gap as it had, both sides in view.

    Args:
        pipe: the pipeline.
        tasks: of `hide_words`: a gap begins with a word.
        steps: denoising steps.
        temperature: low for a best guess.
        sampler: the pipeline's own if None.
        seed: of the noise; each batch has its own.
        batch_size: texts at once; those with gaps of similar size share a batch.

    Raises:
        ValueError: a text does not fit the model, or holds a literal ``[SPAN]``.
    """
    lengths = [gap_lengths(task, pipe.tokenizer) for task in tasks]
    order = sorted(range(len(tasks)), key=lambda index: sum(lengths[index]))
    fills: list[list[str]] = [[] for _ in tasks]
    for number, start in enumerate(range(0, len(order), batch_size)):
        part = order[start : start + batch_size]
        texts = [tasks[index].template(lengths[index]) for index in part]
        result = pipe(texts, steps=steps, temperature=temperature, sampler=sampler, seed=seed + number)
        for index, (spans,) in zip(part, result.spans, strict=True):
            if len(spans) != len(lengths[index]):
                raise ValueError(f"The text holds a literal [SPAN] and cannot be a task: {tasks[index].text!r}.")
            fills[index] = spans
    return fills


def infilling_figures(
    tasks: Sequence[HiddenWords], fills: Sequence[Sequence[str]], judge: CausalJudge | None = None, seed: int = 0
) -> InfillingFigures:
    """Compare fills (one list for each task, one string for each gap; outer spaces do not count) with what was hidden.

    Raises:
        ValueError: no tasks, or fills that do not fit them.
    """
    if not tasks or len(tasks) != len(fills):
        raise ValueError(f"give one list of fills for each task, got {len(tasks)} tasks and {len(fills)} lists")
    texts = [task.filled([fill.strip() for fill in given]) for task, given in zip(tasks, fills, strict=True)]
    exact: list[tuple[int, int]] = []
    words_right = words_hidden = 0
    for task, given in zip(tasks, fills, strict=True):
        exact.append((sum(a == fill.strip() for a, fill in zip(task.answers, given, strict=True)), len(task.gaps)))
        for answer, fill in zip(task.answers, given, strict=True):
            expected = answer.split()
            words_hidden += len(expected)
            words_right += sum(a == b for a, b in zip(expected, fill.split(), strict=False))
    return InfillingFigures(
        texts=len(tasks),
        gaps=sum(gaps for _, gaps in exact),
        exact_words=words_right / words_hidden,
        exact_gaps=bootstrap_interval(lambda counts: float(counts[:, 0].sum() / counts[:, 1].sum()), exact, seed=seed),
        exact_texts=sum(right == gaps for right, gaps in exact) / len(tasks),
        perplexity=judge.score(texts).perplexity if judge else None,
        real_perplexity=judge.score([task.text for task in tasks]).perplexity if judge else None,
    )
