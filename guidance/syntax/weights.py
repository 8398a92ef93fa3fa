"""What the tokens of a vocabulary weigh for the states of a tag automaton, by a tagger's tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.syntax.labels import MARKS

if TYPE_CHECKING:
    from diffusionlm.guidance.syntax.automaton import TagAutomaton
    from diffusionlm.guidance.syntax.tables import TagTables
    from diffusionlm.text import Vocabulary

GOOD = 10  # the tenth best token for a tag says how sure a tagger can be of it
BEGUN = 0.5


@dataclass(frozen=True)
class TokenRoles:
    """How tokens can stand; (V,) bool each.

    Attributes:
        spaced: begins with a space.
        opens: opens a word without one, wherever it stands: marks, clitics such as 's.
        joins: a mark that stands between words without a space and is one of their letters elsewhere: "-", "/", "'".
    """

    spaced: Tensor
    opens: Tensor
    joins: Tensor

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> TokenRoles:
        """Those of a vocabulary."""
        texts = vocabulary.strings
        opens = [bool(text) and text[0] != " " and not text[0].isalnum() for text in texts]
        joins = [own and text[0] not in ".,!?;:" for own, text in zip(opens, texts, strict=True)]
        return cls(vocabulary.starts_with_space, torch.tensor(opens), torch.tensor(joins))


def word_weights(
    tables: TagTables, automaton: TagAutomaton, roles: TokenRoles, least: float, power: float, idiom: float = 0.0
) -> tuple[Tensor, Tensor]:
    """(V, 2 K) each, for the states of the automaton once with their word complete (k) and once with it begun (K + k): the
    probability, to a power, that a token opens the word of a state and ends it or does not; that it goes on with it and
    ends it or does not. 0 where a token cannot stand (a word is opened by a space, by a mark, or behind one).

    Args:
        tables: of the tagger.
        automaton: K states.
        roles: of the tokens.
        least: what is below this share of a good token's probability is 0. The `GOOD`-th best token is a good one, so that
            words a tagger is unsure of are used only for tags of which it is never sure.
        power: exponent.
        idiom: exponent of `TagTables.idiom`, by which the weight of a token that opens a word is multiplied.
    """
    size = automaton.num_states
    opening = torch.zeros(tables.num_tokens, 2 * size, dtype=torch.float64)
    inside = torch.zeros_like(opening)
    usual = torch.ones(tables.num_tokens, 2 * size, dtype=torch.float64)
    done: dict[Any, int] = {}
    for k in range(1, size):
        tags = automaton.tags[k]
        key = (
            tags,
            automaton.previous[k],
            automaton.following[k],
            automaton.previous_is_mark[k],
            automaton.two_before(k),
            automaton.two_behind(k),
        )
        if key in done:
            for table in (opening, inside, usual):
                table[:, [k, size + k]] = table[:, [done[key], size + done[key]]]
            continue
        done[key] = k
        can_open = roles.spaced | roles.opens | automaton.previous_is_mark[k]
        if ("NUM" in key[1]) != ("NUM" in key[2]):
            can_open &= ~roles.joins  # "5-star" is one word
        usual[:, [k, size + k]] = tables.idiom(*key[:3], *key[4:])[:, None] ** idiom
        for column, ends in ((k, True), (size + k, False)):
            opening[:, column] = tables.opening_probability(tags, key[1], key[2], ends) * can_open
            if not tags & MARKS:
                inside[:, column] = tables.inside_probability(tags, ends) * ~roles.spaced
    enough = torch.zeros(2 * size, dtype=torch.float64)
    best = opening[:, :size].topk(min(GOOD, len(opening)), 0).values
    best = torch.maximum(best[-1], 0.8 * best[0])
    enough[:size], enough[size:] = least * best, BEGUN * least * best  # of a word begun, more is to be told
    return (
        torch.where(opening >= enough, opening**power * usual, 0.0),
        torch.where(inside >= torch.maximum(BEGUN * enough, enough.new_tensor(0.1 * least)), inside**power, 0.0),
    )
