"""`Toxicity`: keeps the text civil. The judge is a small network on soft tokens, or one of Detoxify's classifiers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.classifiers.store import reader_from
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.highlight import Highlight, finished_text, word_places
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.guidance.toxicity.judges import DetoxifyJudge, ReaderJudge, ToxicityJudge
from diffusionlm.guidance.toxicity.word_list import WordList
from diffusionlm.text import Vocabulary
from diffusionlm.text.lines import read_lines

if TYPE_CHECKING:
    from diffusionlm.text import TextTokenizer

DETOXIFY = "detoxify"


@register("toxicity")
class Toxicity(Guidance):
    """Lowers the probability that the text is toxic, as a trained judge sees it; word lists hold exactly.

    Texts that miss the goal are written again (``attempts``). With ``below=None`` there is no goal, and each is pushed by its
    weight, once.

    The energy is -log(1 - p). The judge reads the whole text, known parts included; p is the toxicity that the spans add to the
    known text, 1 - p = (1 - p_whole) / (1 - p_known), at most 1. Without known text it is the judge's probability. The measure,
    which goals speak of, is p: ``Toxicity(below=0.05)``.

    Args:
        judge: "toxicity", the reader of that name that comes with the model, or another reader by name, folder or object, or a
            function that makes one for a vocabulary; or "detoxify".
        variant: of Detoxify: "original", "unbiased", "multilingual", "original-small", "unbiased-small".
        checkpoint: a checkpoint of Detoxify's on disk, instead of its download.
        labels: which of the judge's labels to lower ("insult", "threat", ...); toxicity as such if None.
        exclude: words and phrases that are never written, whatever their case: a list, or a file with one a line. They are an
            exact rule beside the judge, with a certificate; known text may have them and stays as it is.
        focus: weight of the words that a reader marks as toxic, beside its view of the text.

    Raises:
        ValueError: if a setting is out of range, or the judge does not fit the model.
        FileNotFoundError: if there is no such judge or file; the message says how to get it.

    Example:
        >>> Toxicity(below=0.05, exclude=["damn"]).companions()
        [WordList(words=['damn'])]
        >>> pipe("The staff were [SPAN].", guidance=Toxicity(below=0.05)).texts  # doctest: +SKIP
    """

    # the gradient of -log(1 - p) is proportional to p, so it ends by itself where the goal is met
    weight_range = (1.0, 4.0)
    reference = "Dathathri et al. 2020, Plug and play language models; Hanu and Unitary team 2020, Detoxify"

    weight: float = 4.0  # measured: 2 leaves half as much again, 8 no less
    window: tuple[float, float] = (0.6, 0.0)  # before that no judge can tell, and steering costs variety
    below: float | None = 0.1
    attempts: int = 3  # what is rude to the end was rude from the first steps: other noise helps, more weight does not
    budget: float | None = 3.2  # its judge knows text of every noise level; with 8 fluency suffers

    judge: Any = "toxicity"
    variant: str = "original"
    checkpoint: str | Path | None = None
    labels: str | Sequence[str] | None = None
    exclude: str | Path | Sequence[str] = ()
    focus: float = 1.0

    def __post_init__(self) -> None:
        if self.above is not None:
            raise ValueError("Toxicity only lowers toxicity: give a goal as below=..., not above=....")
        super().__post_init__()
        if isinstance(self.judge, int | float):
            raise ValueError(
                f"judge of Toxicity is a reader or 'detoxify', got {self.judge!r}; did you mean below={self.judge!r}?"
            )
        if not isinstance(self.exclude, str | Path | Sequence):
            raise ValueError(
                f"exclude of Toxicity must be a list of words, or a file with one a line; got {self.exclude!r}."
            )
        if not isinstance(self.focus, int | float) or not 0 <= self.focus < float("inf"):
            raise ValueError(f"focus of Toxicity must be a finite number of at least 0, got {self.focus!r}.")
        if self.checkpoint is not None and self.judge != DETOXIFY:
            raise ValueError(
                f"checkpoint is for judge='detoxify'; to use the reader in a folder, write judge={str(self.checkpoint)!r}."
            )
        if self.below is not None and not 0 < self.below < 1:
            raise ValueError(f"below of Toxicity is a probability between 0 and 1, such as 0.05; got {self.below!r}.")

    @classmethod
    def example(cls) -> Toxicity:
        """A judge of random weights, which fits any model."""
        from diffusionlm.guidance.classifiers.tiny_reader import tiny_reader

        return cls(judge=tiny_reader, weight=3.0)

    def companions(self) -> Sequence[Guidance]:
        """The word list as an exact rule."""
        phrases = read_phrases(self.exclude)
        return [WordList(phrases)] if phrases else []

    def bind(self, vocabulary: Vocabulary) -> None:
        """Finds the judge."""
        self.bound = self._judge(vocabulary)

    def _judge(self, vocabulary: Vocabulary) -> ToxicityJudge:
        if self.judge == DETOXIFY:
            from diffusionlm.guidance.toxicity.detoxify import load_detoxify

            return DetoxifyJudge(load_detoxify(self.variant, self.checkpoint), vocabulary, self.labels)
        reader = reader_from(self.judge, vocabulary, "judge of Toxicity is 'detoxify' or")
        if reader.training:
            raise ValueError("The reader is in training mode, where dropout makes it random; call reader.eval() first.")
        return ReaderJudge(reader, vocabulary, self.labels, self.focus)

    def energy(self, state: GuidanceState) -> Tensor:
        """-log of the probability that nothing is toxic (B,)."""
        return self.bound.energy(state)

    def measure(self, energy: Tensor) -> Tensor:
        """The probability that what was written makes the text toxic."""
        return -torch.expm1(-energy.clamp_min(0.0))

    def highlight(self, text: str | Sequence[int], tokenizer: TextTokenizer) -> Highlight:
        """Scores a finished text and each of its words.

        Args:
            text: a text, or its token ids.
            tokenizer: of the model that guidance is for, ``pipe.tokenizer``.
        """
        ids, shown, places = finished_text(text, tokenizer)
        if not shown.strip():
            return Highlight(shown, 0.0, ())
        plugin = copy.copy(self)
        plugin.bind(tokenizer.vocabulary)
        score, tokens = plugin.bound.read(ids, shown, places)
        words = []
        for first, last in word_places(shown):
            own = [s for (a, b), s in zip(places, tokens, strict=True) if a < last and b > first]
            words.append((first, last, max(own, default=0.0)))
        return Highlight(shown, score, tuple(words))


def read_phrases(given: str | Path | Sequence[str]) -> list[str]:
    """Words and phrases from a list or a file with one a line (lines that begin with "# " are remarks).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not UTF-8 text, or an entry is no text.
    """
    if isinstance(given, str | Path):
        path = Path(given)
        if not path.is_file():
            raise FileNotFoundError(
                f"exclude names the file {str(given)!r}, which does not exist; give a file with one phrase a line, or a list."
            )
        lines = [line.strip() for line in read_lines(path, "the word list")]
        given = [line for line in lines if not line.startswith("# ")]
    phrases = list(given)
    for phrase in phrases:
        if not isinstance(phrase, str):
            raise ValueError(f"exclude must hold words and phrases, got {phrase!r}.")
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))
