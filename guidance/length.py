"""`Length`: how long the text is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from diffusionlm.guidance import automata
from diffusionlm.guidance.automata import Language, TokenAutomaton
from diffusionlm.guidance.automata.shapes import check_range
from diffusionlm.guidance.constraints.constraint import Constraint
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.plugins import register
from diffusionlm.guidance.well_formed import WellFormed
from diffusionlm.text import Vocabulary

Range = int | Sequence[int | None]


@register("length")
class Length(Constraint):
    """A length that is kept exactly. Each of the three is a number, or a range (least, most) with None for no limit.

    Where words or characters are counted, what is generated is also kept well-formed: no space at either end, no two
    spaces, no ",,", and no word without a letter or digit (`diffusionlm.guidance.well_formed`).

    Args:
        words: words of the whole text, as ``text.split()`` counts them, known text included.
        tokens: tokens of all spans together; known text does not count.
        characters: characters of the whole text.
        whole: whether the text, however long, ends as a sentence does: in ".", "!", "?" or "…", behind which quotes and
            brackets may close. Without it a length is kept to the word, and a sentence may be cut short there.

    Raises:
        ValueError: if nothing is asked for, or a range is not one.

    Example:
        >>> Length(words=(10, 12)).languages()[0].name
        '10 to 12 words'
    """

    words: Range | None = None
    tokens: Range | None = None
    characters: Range | None = None
    whole: bool = False

    expected_failures = {"default_constructible": "there is no length that everybody wants"}

    def __post_init__(self) -> None:
        super().__post_init__()
        given = {unit: getattr(self, unit) for unit in ("words", "tokens", "characters")}
        if all(value is None for value in given.values()):
            raise ValueError(
                "Length needs words, tokens or characters, as in Length(words=12) or Length(words=(10, 15))."
            )
        for unit, value in given.items():
            if value is not None:
                check_range(*_range(value, unit), unit, 100_000)
                if _range(value, unit) == (0, None):
                    raise ValueError(
                        f"Length({unit}={value!r}) asks for nothing: give a least or a largest number, or leave it out."
                    )
                if _range(value, unit)[1] == 0:
                    raise ValueError(
                        f"Length({unit}=0) cannot be met: a span has at least one token. Ask for 1 or more."
                    )
                if not isinstance(value, int):
                    setattr(self, unit, tuple(value))

    @classmethod
    def example(cls) -> Length:
        """Two to five words."""
        return cls(words=(2, 5))

    def companions(self) -> Sequence[Guidance]:
        """`WellFormed`, where words or characters are counted: neither is filled up with marks or spaces."""
        if self.how.name != "constraint" or (self.words is None and self.characters is None):
            return ()
        return (WellFormed(window=self.window),)

    def languages(self) -> Sequence[Language]:
        """Words and characters, and the end; tokens are no matter of the text alone."""
        counted = [
            automata.length(*_range(value, unit), unit=unit)
            for unit in ("words", "characters")
            if (value := getattr(self, unit)) is not None
        ]
        return [*counted, ends_sentence()] if self.whole else counted

    def automata(self, vocabulary: Vocabulary) -> list[TokenAutomaton]:
        """Also counts tokens."""
        rules = super().automata(vocabulary)
        if self.tokens is not None:
            rules.append(automata.token_count(vocabulary, *_range(self.tokens, "tokens")))
        return rules

    def certify(self, text: str, span_ids: Sequence[Sequence[int]]) -> dict[str, bool]:
        """Also counts the tokens of the spans."""
        held = super().certify(text, span_ids)
        if self.tokens is not None:
            least, most = _range(self.tokens, "tokens")
            count = sum(map(len, span_ids))
            label = f"{least} tokens" if least == most else f"{least} to {'any' if most is None else most} tokens"
            held[label] = least <= count and (most is None or count <= most)
        return held


@lru_cache(maxsize=1)
def ends_sentence() -> Language:
    """Texts that end as a sentence does."""
    return automata.regex(r"(?:.|\n)*[.!?…][\"'”’»)\]]*").renamed("ends a sentence")


def _range(value: Range, unit: str) -> tuple[int, int | None]:
    if isinstance(value, int):
        return value, value
    try:
        least, most = value
    except (TypeError, ValueError):
        raise ValueError(f"{unit} must be a whole number or a range of two (least, most), got {value!r}.") from None
    return 0 if least is None else least, most
