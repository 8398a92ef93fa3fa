"""`PII`: no personal data in what is written."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from diffusionlm.guidance.automata import TokenAutomaton
from diffusionlm.guidance.automata.absence_over_tokens import compile_absence
from diffusionlm.guidance.automata.occurrences import Absence
from diffusionlm.guidance.constraints.constraint import bind_to, by_canvas, nats_of
from diffusionlm.guidance.constraints.lazy import LazyConstraint, Ranges
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.pii.allowances import Allowances, allowing
from diffusionlm.guidance.pii.automaton import guard_absence, pattern_absence
from diffusionlm.guidance.pii.compiling import compile_plain
from diffusionlm.guidance.pii.custom_kinds import Chosen, kinds_from
from diffusionlm.guidance.pii.digit_runs import DigitRuns
from diffusionlm.guidance.pii.folding import plain
from diffusionlm.guidance.pii.kind import Kind, Pattern
from diffusionlm.guidance.pii.names import NAME_KINDS, PersonalNames
from diffusionlm.guidance.pii.patterns import ANY_CARD, SIGNS, WIDE
from diffusionlm.guidance.pii.reader import strangers_view
from diffusionlm.guidance.pii.search import (
    find,
    find_in_plain,
    find_kind,
    find_personal_data,
    may_occur,
    touches,
    without_allowed,
)
from diffusionlm.guidance.pii.secrets import (
    SecretFinder,
    Secrets,
    in_own_letters,
    kept_secrets,
    own_character,
    read_secrets,
    secret_absence,
)
from diffusionlm.guidance.registry.plugins import register

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.text import Vocabulary

SIGNS_OF = {
    "email": ("@",),
    "url": ("www.", "://"),
    "web": ("www.", "://"),
}  # kinds that are known by a sign, not by digits
_SECRET, _OWN, _SEEN, _RAW = "secret ", "secret in its own letters ", "seen", "as it is"


@register("pii")
class PII(LazyConstraint):
    """No personal data in what the spans complete; the structured kinds and the secrets never, whatever the model wants.

    Known text stays as it is, and may hold personal data: an occurrence counts only if a character of it was generated.
    "Call 020 7946 [SPAN:3]" must not be completed to a number; "Ann (020 7946 0958) [SPAN]" is no obstacle.

    Structured kinds are exact: the finished text is the most probable one without them, and its certificate is read off
    its characters by `re` and by a second reader of other means. Texts are read as they look: digits of all scripts,
    look-alike letters and characters of no width are seen through. While the text is written, a kind takes part as soon as
    the likeliest text shows it.

    Args:
        kinds: which structured kinds, names from `diffusionlm.guidance.pii.KINDS`; None: all of them; []: none. Kinds of your
            own are regular expressions by name, ``{"staff number": r"E\\d{6}"}``, alone or within the list:
            ``["all", {"staff number": r"E\\d{6}"}]``.
        allow: texts that may be named although they are of a kind ("info@thepub.example"), in any case, where they are no part
            of a longer one; names of people too ("Marie Curie").
        secrets: texts that must not be said in any case, spelling, spacing or punctuation: a list, or a file with one a line.
            They are never shown: records and `repr` say how many there are.
        cards: "valid": only card numbers whose Luhn sum is valid count; "any": all that have 13 to 19 digits. (A number
            that stands right behind other digits counts whatever its sum.)
        names: what has no fixed form, such as names and addresses: True for all that the model's reader of names knows, or
            thresholds by kind, ``{"PERSON": 0.5}``, or a `PersonalNames` with settings of its own. It becomes a plugin beside
            this one, which lowers their share and guarantees nothing. It costs fluency: where a text would have named someone
            it may come out garbled, short texts above all.
        soft: weight of the wish that numbers and addresses are not begun in the first place, see `DigitRuns`; 0 leaves it out.
            The rules hold with it and without; without it a text that has begun a number ends it in nonsense, and takes
            longer, since rules take part wherever the likeliest text breaks one.

    Raises:
        ValueError: if a kind is unknown, a threshold out of range or a secret too short.

    Example:
        >>> PII(kinds=["email"]).certify("Write to ann@example.org", [])
        {'no e-mail addresses': False}
    """

    kinds: Chosen = None
    allow: Sequence[str] = ()
    secrets: str | Path | Sequence[str] = ()
    cards: Literal["valid", "any"] = "valid"
    names: bool | Mapping[str, float] | PersonalNames = False
    soft: float = 8.0

    withheld = ("secrets",)
    reference = "Luhn 1960; Rabin and Scott 1959; Dantzig, Fulkerson and Johnson 1954"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.secrets = kept_secrets(self.secrets)
        kinds_from(self.kinds)  # refuses what is no kind
        if isinstance(self.allow, str):
            raise ValueError(f"allow must be a list of texts; write allow=[{self.allow!r}].")
        if not all(isinstance(text, str) and text.strip() for text in self.allow):
            raise ValueError(f"allow must hold texts that are not empty; got {list(self.allow)!r}.")
        if self.cards not in ("valid", "any"):
            raise ValueError(f'cards must be "valid" or "any"; got {self.cards!r}.')
        if not isinstance(self.names, bool | Mapping | PersonalNames):
            raise ValueError(f"names must be True, False, thresholds by kind, or a PersonalNames; got {self.names!r}.")
        if isinstance(self.names, Mapping):
            for kind in self.names:
                if kind not in NAME_KINDS:
                    near = get_close_matches(str(kind).upper(), NAME_KINDS, n=1)
                    hint = f" (did you mean {near[0]!r}?)" if near else ""
                    raise ValueError(
                        f"names of PII has no kind {kind!r}{hint}; there are: {', '.join(NAME_KINDS)}. Kinds of a reader of "
                        "your own are given as names=PersonalNames(kinds=...)."
                    )
            PersonalNames(kinds=self.names)  # refuses thresholds that are out of range
        if isinstance(self.soft, bool) or not isinstance(self.soft, int | float) or not 0 <= self.soft < math.inf:
            raise ValueError(f"soft of PII is a weight, a finite number of at least 0; got {self.soft!r}.")
        secrets = read_secrets(self.secrets) if self.secrets else []
        self._finder = SecretFinder(secrets) if secrets else None
        self._own_finder = SecretFinder(secrets, own_character, in_own_letters) if secrets else None

    def companions(self) -> Sequence[Guidance]:
        """`DigitRuns`, and `PersonalNames` where names are asked for."""
        found: list[Guidance] = []
        if self.soft > 0 and self.structured:
            signs = [sign for kind, own in SIGNS_OF.items() if kind in self.structured for sign in own]
            few = DigitRuns.few if set(self.structured) - set(SIGNS_OF) else math.inf
            for text in self.allow:  # what may be named is not made unlikely
                if find_personal_data(text, self.structured):
                    few = math.inf if any(character.isdigit() for character in text) else few
                    signs = [] if any(character.isalpha() for character in text) else signs
            if few < math.inf or signs:
                found.append(
                    DigitRuns(
                        few=few,
                        signs=list(dict.fromkeys(signs)),
                        weight=self.soft,
                        window=self.window,
                        schedule=self.schedule,
                    )
                )
        if isinstance(self.names, PersonalNames):
            found.append(self.names)
        elif self.names is not False:
            found.append(PersonalNames(kinds=None if self.names is True else self.names, allow=list(self.allow)))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as of every plugin; of secrets given as a list it says how many there are, and `from_dict` asks for
        them again."""
        kept = self.secrets
        if not isinstance(kept, Secrets):
            return super().to_dict()
        shown = copy.copy(self)
        shown.secrets = ()
        return {**Guidance.to_dict(shown), "secrets": kept.to_dict()} if kept else super().to_dict()

    @cached_property
    def structured(self) -> dict[str, Kind]:
        """The structured kinds that are looked for, by name."""
        chosen = kinds_from(self.kinds)
        if "card" in chosen and self.cards == "any":
            chosen["card"] = ANY_CARD
        return chosen

    @cached_property
    def _rules(self) -> dict[str, tuple[str, Pattern, bool]]:
        """The parts: each pattern of each kind, with the kind and whether texts are read as they are; those with a sum last."""
        found = [
            (f"{name} {number}{' ' + _RAW if raw else ''}", (name, pattern, raw))
            for name, kind in self.structured.items()
            for raw in ((False, True) if kind.raw else (False,))
            for number, pattern in enumerate(kind.patterns)
        ]
        return dict(sorted(found, key=lambda part: part[1][1].luhn))

    @cached_property
    def _allowed(self) -> Allowances | None:
        return Allowances(self.allow) if self.allow else None

    def broken(self, text: str, written: Ranges | None) -> list[str]:
        """Patterns that occur in what was written, and secrets by number; `written` None: all of the text was."""
        form = plain(text)
        own = form.ranges(written)
        likely = {name: kind for name, kind in self.structured.items() if kind.raw or may_occur(kind, form.text)}
        shown = {
            (name, raw): without_allowed(kind, text if raw else form.text, self._allowed)
            for name, kind in likely.items()
            for raw in ((False, True) if kind.raw else (False,))
        }
        found = [
            part
            for part, (name, pattern, raw) in self._rules.items()
            if name in likely and touches(list(find(pattern, shown[name, raw])), written if raw else own)
        ]
        found += self._seen(text, written, {self._rules[part][0] for part in found})
        for prefix, finder in self._finders().items():
            said = {number for number, *_ in finder.find(text, written)}
            found += [f"{prefix}{number}" for number in sorted(said)]
        return found

    def _finders(self) -> dict[str, SecretFinder]:
        """What finds secrets, by the beginning of the names of its parts."""
        if self._finder is None or self._own_finder is None:
            return {}
        return {_SECRET: self._finder, _OWN: self._own_finder}

    def _seen(self, text: str, written: Ranges | None, known: set[str]) -> list[str]:
        """Kinds that the second reader sees in what was written, beyond those known."""
        seen = set()
        for kind in {kind for kind, *_ in strangers_view(text)} & set(self.structured) - known:
            places = [(start, end) for other, start, end in strangers_view(self._hidden(kind, text)) if other == kind]
            if touches(places, written):
                seen.add(kind)
        return [f"{kind} {_SEEN}" for kind in sorted(seen)]

    def _hidden(self, kind: str, text: str) -> str:
        """A text of the same length in which what may be named of a kind is put aside."""
        if self._allowed is None:
            return text
        form, shown = plain(text), list(text)
        hidden = without_allowed(self.structured[kind], form.text, self._allowed)
        for place, (given, left) in enumerate(zip(form.text, hidden, strict=True)):
            if given != left:
                shown[form.owners[place]] = "x"
        return "".join(shown)

    def highlight(self, text: str) -> list[tuple[int, int, str]]:
        """Where personal data and secrets stand in a text, given or written: (start, end, what it is), apart and in order."""
        places = [
            (*place, name) for name, kind in self.structured.items() for place in find_kind(kind, text, self._allowed)
        ]
        for finder in self._finders().values():
            places += [(start, end, "secret") for _, start, end in finder.find(text)]
        found: list[tuple[int, int, str]] = []
        for start, end, name in sorted(places, key=lambda place: (place[0], -place[1], place[2] in WIDE)):
            if not found or start >= found[-1][1]:
                found.append((start, end, name.replace("_", " ")))
        return found

    def part(self, name: str, vocabulary: Vocabulary, finished: bool) -> TokenAutomaton | None:
        """A pattern: on the way the guard of its kind, where it has one; itself in the end, unless it has check digits."""
        if name.startswith(_SECRET):
            finder = self._finders()[_OWN if name.startswith(_OWN) else _SECRET]
            secret = finder.secrets[int(name.rpartition(" ")[2])]
            return compile_plain(secret_absence(secret, finder.character), vocabulary, finder.character)
        if name.endswith(_SEEN):
            kind = self.structured[name.removesuffix(_SEEN).strip()]
            return compile_plain(pattern_absence(kind.title, SIGNS), vocabulary)
        kind_name, pattern, raw = self._rules[name]
        kind = self.structured[kind_name]
        guarded = not finished or pattern.luhn  # an automaton of check digits is too large; its guard forbids more
        rule = guard_absence((kind,)) if guarded else None
        if rule is None:
            rule = pattern_absence(kind.title, pattern)
        rule = self._allowing(rule, kind)
        return compile_absence(rule, vocabulary) if raw else compile_plain(rule, vocabulary)

    def _allowing(self, rule: Absence, kind: Kind) -> Absence:
        """The rule without the allowed texts that are of its kind; the others are nothing to it."""
        return allowing(rule, tuple(text for text in self.allow if find_in_plain(kind, plain(text).text)))

    def certify(self, text: str, span_ids: Sequence[Sequence[int]], written: Ranges | None = None) -> dict[str, bool]:
        """Whether a finished text is free of each kind, by reading its characters with `re`, and by the
        second reader.

        Args:
            text: the whole text.
            span_ids: not looked at.
            written: (start, end) of what was generated; None: all of it.
        """
        broken = self.broken(text, written)
        kinds = {self._rules[part][0] if part in self._rules else part.removesuffix(_SEEN).strip() for part in broken}
        held = {f"no {kind.title}": name not in kinds for name, kind in self.structured.items()}
        if self._finder is not None:
            held["no secrets"] = not any(part.startswith(_SECRET) for part in broken)
        return held

    def certify_written(self, text: str, span_ids: Sequence[Sequence[int]], written: Ranges) -> dict[str, bool]:
        """`certify`, of what was written."""
        return self.certify(text, span_ids, written)

    def energy(self, state: GuidanceState) -> Tensor:
        """-log p(no guard of a kind finds anything) of each sample (B,), in nats; secrets do not take part."""
        guard = guard_absence(tuple(self.structured.values()))
        out = state.probs.new_zeros(state.batch_size)
        if guard is None:
            return out
        rule = compile_plain(guard, state.vocabulary)
        for rows, layout in by_canvas(state.layouts):
            index = torch.tensor(rows, device=state.device)
            bound = bind_to([rule], layout, state.vocabulary, None)
            out = out.index_put((index,), nats_of(bound, state.log_probs[index, : layout.length]).to(out.dtype))
        return out
