"""`WordList`: words that are never written. Known text may have them already and stays as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import TokenAutomaton
from diffusionlm.guidance.automata.absence_over_tokens import compile_absence
from diffusionlm.guidance.automata.language import quoted
from diffusionlm.guidance.automata.occurrences import Absence, Occurrence, absence
from diffusionlm.guidance.constraints.constraint import Constraint
from diffusionlm.text import Vocabulary


class WordList(Constraint):
    """Words and phrases that no span writes or completes, whatever their case; as whole words.

    Unlike ``Phrases(exclude=...)`` it does not mind them in known text, so a rude text can be continued.

    Args:
        words: words and phrases.

    Raises:
        ValueError: if there is none, or one is empty.

    Example:
        >>> WordList(["damn"]).certify("A DAMN good pub.", [])
        {"never writes 'damn'": False}
    """

    words: Sequence[str]

    expected_failures = {"default_constructible": "there are no words that nobody wants"}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.words = list(dict.fromkeys(self.words))
        if not self.words or not all(isinstance(word, str) and word.strip() for word in self.words):
            raise ValueError(f"WordList needs words that are not empty, as in WordList(['damn']); got {self.words!r}.")

    @classmethod
    def example(cls) -> WordList:
        """One word."""
        return cls(["cheap"])

    @property
    def rule(self) -> str:
        """The rule in words."""
        shown = ", ".join(map(quoted, self.words[:3]))
        return f"never writes {shown}" + (f" and {len(self.words) - 3:,} more" if len(self.words) > 3 else "")

    def automata(self, vocabulary: Vocabulary) -> list[TokenAutomaton]:
        """One automaton for all words."""
        return [compile_absence(_absence(self.rule, tuple(self.words)), vocabulary)]

    def certify(self, text: str, span_ids: Sequence[Sequence[int]]) -> dict[str, bool]:
        """Whether none of the words is in a text that was written as a whole, by `re`."""
        return self.certify_written(text, span_ids, [(0, len(text))])

    def certify_written(
        self, text: str, span_ids: Sequence[Sequence[int]], written: Sequence[tuple[int, int]]
    ) -> dict[str, bool]:
        """Whether none of the words has a character that was written; each word is looked for by itself."""
        for word in self.words:
            # looked ahead, so that occurrences which overlap are all found
            for match in re.finditer(rf"(?<!\w)(?=({re.escape(word)})(?!\w))", text, re.IGNORECASE):
                if any(start < match.end(1) and end > match.start(1) for start, end in written):
                    return {self.rule: False}
        return {self.rule: True}


@lru_cache(maxsize=16)
def _absence(name: str, words: tuple[str, ...]) -> Absence:
    core = automata.regex("|".join(map(re.escape, words)), flags=re.IGNORECASE, max_states=100_000)
    before, behind = automata.regex(r"((.|\n)*\W)?"), automata.regex(r"(\W(.|\n)*)?")
    return absence(name, [Occurrence(core, before, behind)])
