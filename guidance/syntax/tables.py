"""`TagTables`: which parts of speech the tokens of a vocabulary give to words, by the parts of speech beside them.

Counted on tagged text (see ``diffusionlm train-syntax``): for a token v that opens a word, how often the word has tag t
between words of tags a and b, and ends with v; for a token that goes on with a word, how often that word has tag t, and
ends with v. Counts are those of an ensemble of taggers, so they say how sure taggers are of a word, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusionlm.guidance.syntax.labels import UPOS, check_label
from diffusionlm.guidance.syntax.store import load_counts, save_counts
from diffusionlm.guidance.syntax.words import longest_first

if TYPE_CHECKING:
    from diffusionlm.text import Vocabulary

CONTEXTS = (*UPOS, "START", "END")
TRUST = 6.0  # occurrences at which a context counts as much as what is known without it
SHRINK = 20.0  # occurrences of a context at which it counts as much as none at all
MOST_IDIOMATIC = 30.0
FEWEST = 3.0  # a token seen less often in a role cannot play it,
ROLE = 0.02  # nor one that plays it in a smaller share of its occurrences
_AT = {tag: k for k, tag in enumerate(CONTEXTS)}
_TENSORS = (
    "opening", "opening_count", "left", "left_count", "right", "right_count", "inside", "inside_count", "broken",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class TagTables:
    """Sparse counts. T = 17 universal tags, C = 19 contexts (tags, START, END).

    Attributes:
        fingerprint: of the vocabulary.
        num_tokens: V.
        opening: (n, 5) int: token, tag before, tag, tag behind, whether the word ends with the token.
        opening_count: (n,).
        left: (p, 4) int: token that opens a word, tag of the word two before, tag before, tag.
        left_count: (p,).
        right: (q, 4) int: token that opens a word, tag, tag behind, tag of the word two behind.
        right_count: (q,).
        inside: (m, 3) int: token, tag of the word that it goes on with, whether the word ends with it.
        inside_count: (m,).
        broken: (V,) how often a word began inside the token; such tokens are not written.
        card: where the counts come from.
    """

    fingerprint: str
    num_tokens: int
    opening: Tensor
    opening_count: Tensor
    left: Tensor
    left_count: Tensor
    right: Tensor
    right_count: Tensor
    inside: Tensor
    inside_count: Tensor
    broken: Tensor
    card: dict[str, object]

    def save(self, folder: str | Path) -> None:
        """Writes a folder that `load_tables` and `find_reader` know."""
        config = {
            "model_type": "diffusionlm_tag_tables",
            "vocab_size": self.num_tokens,
            "vocabulary_fingerprint": self.fingerprint,
            "card": self.card,
        }
        save_counts(folder, {name: getattr(self, name) for name in _TENSORS}, config)

    def opening_probability(
        self, tags: Iterable[str], before: Iterable[str], behind: Iterable[str], ends: bool
    ) -> Tensor:
        """P(one of the tags | the token opens a word, which ends with it or does not, tags beside it), float64 (V,); 0 for
        tokens that hardly ever do that.

        The geometric mean of two: with the tags beside it, and of the token alone, so that a word is preferred which is
        always of that part of speech. The first is interpolated: the exact context counts as `TRUST` occurrences of what is
        known of either neighbour alone, that as much as what is known of the token alone.
        """
        want, left, right = (_members(own) for own in (tags, before, behind))
        v, a, t, b, last = self.opening.unbind(1)
        n = self.opening_count * (last == int(ends))
        hit = n * want[t]
        total = self._sum(v, n)
        single = self._sum(v, hit) / total.clamp_min(1e-9)
        near_left, near_right = left[a], right[b]
        one_sided = (self._sum(v, hit * (near_left + near_right)) + TRUST * single) / (
            self._sum(v, n * (near_left + near_right)) + TRUST
        )
        both = near_left * near_right
        exact = (self._sum(v, hit * both) + TRUST * one_sided) / (self._sum(v, n * both) + TRUST)
        return (exact * single).sqrt() * self._does(total, self._sum(v, self.opening_count))

    def idiom(
        self,
        tags: Iterable[str],
        before: Iterable[str],
        behind: Iterable[str],
        two_before: Iterable[str],
        two_behind: Iterable[str],
    ) -> Tensor:
        """P(a word's first token | one of the tags, between others) / P(the token | one of the tags), float64 (V,): which
        words the corpus has between words of these tags, whatever its own tag says. Shrunk to 1 where little is known. The
        words two before and two behind count by themselves, given the nearer ones.
        """
        want, left, right = (_members(own) for own in (tags, before, behind))
        v, a, t, b, _ = self.opening.unbind(1)
        hit = self.opening_count * want[t]
        near = self._ratio(v, hit, hit * left[a] * right[b])
        v, c, a, t = self.left.unbind(1)
        hit = self.left_count * want[t] * left[a]
        far_left = self._ratio(v, hit, hit * _members(two_before)[c])
        v, t, b, c = self.right.unbind(1)
        hit = self.right_count * want[t] * right[b]
        far_right = self._ratio(v, hit, hit * _members(two_behind)[c])
        return (near * far_left * far_right).clamp(1 / MOST_IDIOMATIC, MOST_IDIOMATIC)

    def _ratio(self, token: Tensor, every: Tensor, some: Tensor) -> Tensor:
        share = self._sum(token, every) / every.sum().clamp_min(1e-9)
        found = (self._sum(token, some) + SHRINK * share) / (some.sum() + SHRINK)
        return torch.where(share > 0, found / share.clamp_min(1e-12), 1.0)

    def inside_probability(self, tags: Iterable[str], ends: bool) -> Tensor:
        """P(the word has one of the tags | the token goes on with it, and ends it or does not), float64 (V,); 0 for tokens
        that hardly ever do that."""
        want = _members(tags)
        v, t, last = self.inside.unbind(1)
        n = self.inside_count * (last == int(ends))
        total = self._sum(v, n)
        opened = self._sum(self.opening[:, 0], self.opening_count)
        return (
            self._sum(v, n * want[t])
            / total.clamp_min(1e-9)
            * self._does(total, opened + self._sum(v, self.inside_count))
        )

    def _does(self, role: Tensor, every: Tensor) -> Tensor:
        """(V,) 1.0 for tokens that play a role often enough."""
        return ((role >= FEWEST) & (role >= ROLE * every)).double() * self.whole

    @property
    def whole(self) -> Tensor:
        """(V,) 1.0 for tokens that words do not begin inside of."""
        seen = self._sum(self.opening[:, 0], self.opening_count) + self._sum(self.inside[:, 0], self.inside_count)
        return (self.broken <= 0.1 * (seen + self.broken)).double()

    def choices(
        self, vocabulary: Vocabulary, text: str, words: Sequence[tuple[int, int]], least: float
    ) -> list[set[str]]:
        """The tags that each word of a text may have, whatever stands beside it.

        Words are cut into tokens from the left, the longest first, as byte-level BPE mostly does.
        """
        surfaces = {surface: v for v, surface in enumerate(vocabulary.surfaces) if surface}
        found = []
        for first, last in words:
            spaced = first == 0 or text[first - 1] == " "
            rest = (b" " if spaced else b"") + text[first:last].encode()
            own: set[str] | None = None
            for token in longest_first(rest, surfaces):
                table = self._by_token[0 if own is None else 1]
                tags = {UPOS[t] for t in torch.nonzero(table[token or 0] >= least).flatten().tolist()}
                own = tags if own is None else own & tags
            found.append(own or set())
        return found

    @cached_property
    def _by_token(self) -> tuple[Tensor, Tensor]:
        """(V, T) each: highest P(tag | token) in any context of a token that opens a word; P(tag | token inside one)."""
        v, a, t, b, _ = self.opening.unbind(1)
        context = v * len(CONTEXTS) ** 2 + a * len(CONTEXTS) + b
        _, group = context.unique(return_inverse=True)
        total = torch.zeros(int(group.max()) + 1, dtype=torch.float64).index_add_(0, group, self.opening_count)
        of_tag = context * len(UPOS) + t
        _, same = of_tag.unique(return_inverse=True)
        own = torch.zeros(int(same.max()) + 1, dtype=torch.float64).index_add_(0, same, self.opening_count)
        share = own[same] / total[group]
        highest = torch.zeros(self.num_tokens, len(UPOS), dtype=torch.float64)
        highest = highest.view(-1).scatter_reduce_(0, v * len(UPOS) + t, share, "amax").view_as(highest)
        inside = torch.stack(
            [self.inside_probability([tag], True) + self.inside_probability([tag], False) for tag in UPOS], 1
        )
        return highest, inside

    def _sum(self, token: Tensor, values: Tensor) -> Tensor:
        return torch.zeros(self.num_tokens, dtype=torch.float64).index_add_(0, token, values)


def _members(tags: Iterable[str]) -> Tensor:
    own = torch.zeros(len(CONTEXTS), dtype=torch.float64)
    own[[_AT[tag] for tag in tags]] = 1.0
    return own


@lru_cache(maxsize=4)
def load_tables(folder: Path) -> TagTables:
    """Tables from a folder.

    Raises:
        ValueError: if a file is damaged.
    """
    return load_counts(
        folder,
        "tag tables",
        lambda config, data: TagTables(
            config["vocabulary_fingerprint"],
            config["vocab_size"],
            **{name: data[name] for name in _TENSORS},
            card=config["card"],
        ),
    )


def lexicon_tables(vocabulary: Vocabulary, lexicon: Mapping[str, Sequence[str]]) -> TagTables:
    """Tables of words that are one token each, every tag of a word as probable as the others.

    Raises:
        ValueError: if a tag is unknown, or no word of the lexicon is a token.
    """
    rows = []
    for word, given in lexicon.items():
        tags = [check_label(tag, "part of speech") for tag in ([given] if isinstance(given, str) else given)]
        forms = {word.encode(), b" " + word.encode()}
        rows += [
            (v, _AT["X"], _AT[tag], _AT["X"], 1)
            for v, own in enumerate(vocabulary.surfaces)
            if own in forms
            for tag in tags
        ]
    if not rows:
        raise ValueError(f"No word of the lexicon is a token of this vocabulary: {list(lexicon)[:8]}.")

    def none(columns: int) -> tuple[Tensor, Tensor]:
        return torch.zeros((0, columns), dtype=torch.long), torch.zeros(0, dtype=torch.float64)

    return TagTables(
        vocabulary.of_the_model,
        len(vocabulary),
        torch.tensor(rows),
        torch.full((len(rows),), 10.0, dtype=torch.float64),
        *none(4),
        *none(4),
        *none(3),
        torch.zeros(len(vocabulary), dtype=torch.float64),
        {"data": "a lexicon"},
    )
