"""Passages of a store as memory: neighbours of what a row says already.

Sources: Borgeaud et al. 2022 ("Improving language models by retrieving from trillions of tokens", RETRO): a fact is mended by a
passage that is added to the store.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from diffusionlm.context.source import SOURCES, Row, Rows, Source, segment_index, text_piece
from diffusionlm.denoiser import RETRIEVED
from diffusionlm.denoiser.contract import SEGMENTS
from diffusionlm.text.conditions import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from diffusionlm.context.store import Store
    from diffusionlm.denoiser import Piece


@SOURCES.register("retrieved")
class Retrieved(Source):
    """The passages of a store that are nearest to what a row says.

    Args:
        store: where they come from.
        k: how many for each row.
        query: what to look for: None is prompt and known text; "prompt" is the prompt alone; or a function of a row (with
            ``prompt`` and ``canvas``) that returns a text. A row whose query is empty gets no passages.
        segment: the kind of memory they enter as: "retrieved", which weights must have been fitted to; or "prompt", where
            passages have the form of the prompts that the weights know.
        min_score: cosine below which a passage is left out.
        state: what every text must mention of its passages, as a rule that always holds: names of fields, for passages such as
            ``food[Italian], area[riverside]``; or a function of the text of a passage that returns phrases. Of several
            passages the nearest that has a field counts. A call warns of a text whose passages lack a field, or that has no
            passage near enough, as its text is free. None asks for nothing.

    Example:
        >>> pipe("[SPAN]", prompt="name[The Mill]", context=[Retrieved(store, k=2)]).context  # doctest: +SKIP
    """

    reference = "Borgeaud et al. 2022, Improving language models by retrieving from trillions of tokens"

    def __init__(
        self,
        store: Store,
        k: int = 4,
        query: str | Callable[[Row], str] | None = None,
        segment: str | int = RETRIEVED,
        min_score: float = -1.0,
        state: Sequence[str] | Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        if not hasattr(store, "search"):
            raise TypeError(f"Retrieved takes a Store, got {store!r}; load one with Store.load(folder).")
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"k must be an integer of at least 1, got {k!r}.")
        number = isinstance(min_score, int | float) and not isinstance(min_score, bool)
        if not (number and -1 <= min_score <= 1):
            raise ValueError(f"min_score is a cosine, a number from -1 to 1; got {min_score!r}.")
        if not (query is None or query == "prompt" or callable(query)):
            raise ValueError(f"query must be None, 'prompt' or a function of a row, got {query!r}.")
        self.store, self.k, self.query, self.min_score = store, k, query, min_score
        self.segment = segment_index(segment)
        self.state = state if state is None or callable(state) else _field_names(state)

    def prepare(self, pipe: Any) -> Retrieved:
        """Refuses an empty store; warns where the weights were never fitted to retrieved passages.

        Raises:
            ValueError: if the store is empty.
        """
        if not len(self.store):
            raise ValueError("The store of Retrieved is empty; add passages with store.add([...]).")
        if self.segment == RETRIEVED and "retrieved" not in pipe.card.get("segments", ()):
            warnings.warn(
                "These weights were not fitted to retrieved passages, so the model makes little of them; train with "
                "data.retrieve=..., or give Retrieved(..., segment='prompt') if passages look like its prompts.",
                stacklevel=2,
            )
        return self

    def queries(self, rows: Sequence[Row]) -> list[str]:
        """Query of each row."""
        out = []
        for row in rows:
            if callable(self.query):
                text = self.query(row)
                if not isinstance(text, str):
                    raise TypeError(f"The query function of Retrieved must return a text, got {text!r}.")
            else:
                known = "" if self.query == "prompt" else " ".join("".join(row.canvas.literals).split())
                text = " ".join(filter(None, (row.prompt, known)))
            out.append(text.strip())
        return out

    def pieces(self, rows: Rows) -> list[list[Piece]]:
        """Up to k pieces a row, nearest first; rows with one query share them.

        Raises:
            ValueError: if a passage is longer than the model's memory of one piece.
        """
        queries = self.queries(rows.rows)
        distinct = list(dict.fromkeys(filter(None, queries)))
        made: dict[str, list[Piece]] = {"": []}
        for query, passages in zip(distinct, self.store.search(distinct, self.k), strict=True):
            made[query] = [
                text_piece(
                    rows,
                    self.segment,
                    passage.text,
                    f"Passage {passage.number} of the store",
                    {"source": self.name, **vars(passage)},
                )
                for passage in passages
                if passage.score >= self.min_score
            ]
        return [made[query] for query in queries]

    def states(self, rows: Sequence[Row]) -> list[tuple[str, ...]]:
        """Phrases of the passages of each row that its text must mention.

        Raises:
            ValueError: if a row has nothing to look for, no passage that was found has a field that was asked for, or its
                value is yes or no, which no text spells.
            TypeError: if the function returns anything but texts.
        """
        if self.state is None:
            return [()] * len(rows)
        queries = self.queries(rows)
        if "" in queries:
            raise ValueError(
                f"Retrieved(state=...) has nothing to look for in input {rows[queries.index('')].source}: give a prompt or "
                "known text, or query=function, so that a passage can be found whose facts the text is to state."
            )
        distinct = list(dict.fromkeys(queries))
        found = dict(zip(distinct, self.store.search(distinct, self.k), strict=True))
        passages = {
            query: [passage.text for passage in own if passage.score >= self.min_score] for query, own in found.items()
        }
        if callable(self.state):
            phrases = {query: _phrases_of(self.state, texts) for query, texts in passages.items()}
        else:
            phrases = _values_of(self.state, passages)
        return [phrases.get(query, ()) for query in queries]

    def to_dict(self) -> dict[str, Any]:
        """See `Source`."""
        query = getattr(self.query, "__name__", str(self.query)) if callable(self.query) else self.query
        return {
            "name": self.name,
            "k": self.k,
            "query": query,
            "segment": SEGMENTS[self.segment],
            "passages": len(self.store),
            **({} if self.state is None else {"state": getattr(self.state, "__name__", self.state)}),
        }


def _field_names(given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(
            f"state must be names of fields, as in ['food', 'area'], or a function of a passage that returns phrases; got "
            f"{given!r}."
        )
    return [name.strip() for name in names]


def _values_of(names: Sequence[str], passages: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    read = {query: [dict(fields_of(text)) for text in texts] for query, texts in passages.items()}
    known = dict.fromkeys(field for texts in read.values() for fields in texts for field in fields)
    for name in names:
        if read and name not in known:
            raise ValueError(
                f"None of the passages that were found has the field {name!r}; they have: {', '.join(known) or 'no fields'}. "
                "For plain sentences give state=function, which takes the text of a passage and returns the phrases to "
                "mention."
            )
    out: dict[str, tuple[str, ...]] = {}
    lacking: dict[str, list[str]] = {}
    for query, texts in read.items():
        values = {name: next((fields[name] for fields in texts if name in fields), "") for name in names}
        for name, value in values.items():
            if value.lower() in ("yes", "no"):
                raise ValueError(
                    f"The passage found for {query[:60]!r} says {name}[{value}], which no text spells; leave {name!r} out of "
                    "state, or give state=function, which takes the text of a passage and returns the phrases to mention."
                )
            if not value:
                lacking.setdefault(name, []).append(query)
        out[query] = tuple(dict.fromkeys(filter(None, values.values())))
    for name, queries in lacking.items():
        warnings.warn(
            f"No passage that was found for {queries[0][:60]!r}"
            + (f" and {len(queries) - 1} others" if queries[1:] else "")
            + f" has a field {name!r}: such a text need not state it.",
            stacklevel=2,
        )
    return out


def _phrases_of(function: Callable[[str], Sequence[str]], texts: Sequence[str]) -> tuple[str, ...]:
    phrases: list[str] = []
    for text in texts:
        given = function(text)
        listed = isinstance(given, list | tuple | set | frozenset)
        if not listed or not all(isinstance(phrase, str) and phrase.strip() for phrase in given):
            raise TypeError(
                f"The function state of Retrieved must return a list of phrases for a passage, got {given!r}."
            )
        phrases += [phrase.strip() for phrase in given]
    return tuple(dict.fromkeys(phrases))
