"""`PersonalNames`: names, addresses and other personal data without a fixed form, made less likely."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.errors import suggestion
from diffusionlm.guidance.classifiers.reader import CLEAN, OUTSIDE
from diffusionlm.guidance.classifiers.soft_text import SoftText, soft_text
from diffusionlm.guidance.classifiers.store import reader_from
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.highlight import finished_text
from diffusionlm.guidance.registry.plugins import register

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.text import TextTokenizer, Vocabulary

THRESHOLD = 0.3
NAME_KINDS = (
    "ADDRESS",
    "CODE",
    "LOCATION",
    "ORGANIZATION",
    "PASSWORD",
    "PERSON",
)  # of the reader "names" in the package
_WORD = re.compile(r"\w+(?:[^\w\s]+\w+)*")  # without the punctuation around it


@register("personal-names")
class PersonalNames(Guidance):
    """Lowers the share of names of people, addresses and the like, as a reader of soft tokens tags them.

    With q_ik the reader's probability that position i belongs to kind k, and t_k the kind's threshold, the energy is
    sum_ik softplus(logit q_ik - logit t_k) over span positions: next to nothing below the threshold, nats of log-odds above
    it. It guarantees nothing; rules that always hold are those of `PII`.

    Args:
        reader: "names", the reader of that name that comes with the model, or another by name, folder or object, or a function
            that makes one for a vocabulary.
        kinds: kinds to avoid with their thresholds in (0, 1), ``{"PERSON": 0.5}``, or a list of kinds; None: all that the
            reader knows. A lower threshold avoids more.
        allow: names that may be named, as whole words in any case.

    Raises:
        ValueError: if a kind is unknown or a threshold out of range.
        FileNotFoundError: if there is no such reader; the message says how to train one.

    Example:
        >>> names = PersonalNames(kinds={"PERSON": 0.2}, allow=["Marie Curie"])
        >>> names.highlight("Ask for Jane Doe.", pipe.tokenizer)  # doctest: +SKIP
        [(8, 16, 'person 0.98')]
    """

    reference = "Dathathri et al. 2020, Plug and play language models"

    reader: Any = "names"
    kinds: Mapping[str, float] | Sequence[str] | None = None
    allow: Sequence[str] = ()

    weight: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind, threshold in self.kinds.items() if isinstance(self.kinds, Mapping) else ():
            if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < 1:
                raise ValueError(f"The threshold of {kind!r} must lie between 0 and 1, got {threshold!r}.")

    @classmethod
    def example(cls) -> PersonalNames:
        """A reader of random weights, which fits any model."""
        from diffusionlm.guidance.classifiers.tiny_reader import tiny_reader

        return cls(reader=tiny_reader)

    def bind(self, vocabulary: Vocabulary) -> None:
        """Finds the reader."""
        reader = reader_from(self.reader, vocabulary, "reader of PersonalNames is")
        known = [name for name in reader.config.token_labels if name != OUTSIDE]
        if OUTSIDE not in reader.config.token_labels or not known:
            raise ValueError(
                f"The reader tags no spans: its token labels are {list(reader.config.token_labels)}; train one with typed "
                f"spans (data.span_field), which gives it {OUTSIDE!r} and the types."
            )
        chosen: dict[str, float] = dict.fromkeys(known, THRESHOLD)
        if self.kinds is not None:
            given = self.kinds if isinstance(self.kinds, Mapping) else dict.fromkeys(self.kinds, THRESHOLD)
            chosen = dict(given.items())
            for kind in chosen:
                if kind not in known:
                    raise ValueError(f"The reader knows no kind {kind!r}; {suggestion(kind, known)}")
        self.bound = reader
        self.chosen = list(chosen)
        self.columns = [reader.config.token_labels.index(kind) for kind in chosen]
        self.levels = torch.tensor(list(chosen.values()), dtype=torch.float32).logit()
        self.allowed = allowed_expression(self.allow)

    def energy(self, state: GuidanceState) -> Tensor:
        """How far the tags exceed their thresholds (B,), in nats."""
        if self.bound.device != state.device:
            torch.nn.Module.to(self.bound, state.device)
        text = soft_text(state)
        gamma = CLEAN if state.step >= state.num_steps else state.gamma
        tags = self.bound(text, gamma).token_logits.log_softmax(-1)[..., self.columns]
        odds = tags - torch.log1p(-tags.exp().clamp(max=1 - 1e-6))  # logit q
        excess = F.softplus(odds - self.levels.to(odds)).sum(-1)
        presence = text.presence.to(excess.dtype)  # the reader's precision, and no more is claimed
        return (excess * (text.is_span & ~self._named(text, state.vocabulary)) * presence).sum(-1)

    @torch.no_grad()
    def highlight(self, text: str | Sequence[int], tokenizer: TextTokenizer) -> list[tuple[int, int, str]]:
        """Where a finished text has what is to be avoided: (start, end, kind and its probability), apart and in order.

        A word is of a kind if the reader takes one of its tokens for that kind with at least the threshold's probability;
        neighbours of one kind are one place. Names that may be named are left out.

        Args:
            text: a text, or its token ids.
            tokenizer: of the model that guidance is for, ``pipe.tokenizer``.
        """
        ids, shown, places = finished_text(text, tokenizer)
        if not shown.strip():
            return []
        plugin = copy.copy(self)
        plugin.bind(tokenizer.vocabulary)
        known = SoftText.known(torch.tensor([ids], device=plugin.bound.device), tokenizer.vocabulary)
        tags = plugin.bound(known, CLEAN).token_logits[0].softmax(-1)[:, plugin.columns].cpu()
        least = plugin.levels.sigmoid()
        allowed = [] if plugin.allowed is None else [match.span() for match in plugin.allowed.finditer(shown)]
        found: list[tuple[int, int, str, float]] = []
        for word in _WORD.finditer(shown):
            first, last = word.span()
            own = [q for (a, b), q in zip(places, tags, strict=True) if a < last and b > first]
            q = torch.stack(own).amax(0)
            if not bool((q >= least).any()) or any(a < last and b > first for a, b in allowed):
                continue
            best = int(q.masked_fill(q < least, -1.0).argmax())
            kind, sure = plugin.chosen[best], float(q[best])
            if found and found[-1][2] == kind and shown[found[-1][1] : first].isspace():
                start, _, _, before = found.pop()
                first, sure = start, max(before, sure)
            found.append((first, last, kind, sure))
        return [(first, last, f"{kind.replace('_', ' ').lower()} {sure:.2f}") for first, last, kind, sure in found]

    def _named(self, text: SoftText, vocabulary: Vocabulary) -> Tensor:
        """(B, N): positions that, as things look now, write a name that may be named."""
        out = torch.zeros_like(text.is_span)
        if self.allowed is None:
            return out
        for row, (ids, used) in enumerate(zip(text.ids.tolist(), text.mask.tolist(), strict=True)):
            owner: list[int] = []
            data = b""
            for place, token in enumerate(ids):
                if used[place]:
                    data += vocabulary.surfaces[token]
                    owner += [place] * len(vocabulary.surfaces[token])
            shown = data.decode("latin-1")  # one character a byte
            for name in self.allowed.finditer(data.decode("utf-8", errors="replace")):
                needle = name.group().encode("utf-8").decode("latin-1")
                start = shown.find(needle)
                while start >= 0:
                    out[row, owner[start : start + len(needle)]] = True
                    start = shown.find(needle, start + 1)
        return out


def allowed_expression(texts: Sequence[str]) -> re.Pattern[str] | None:
    """Finds names that may be named, as whole words and in any case; None if there are none."""
    if not texts:
        return None
    longest = sorted(texts, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)", re.IGNORECASE)
