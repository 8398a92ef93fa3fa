"""`Each`: sources that differ from input to input of one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffusionlm.context.source import SOURCES, Row, Rows, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.denoiser import Piece


@SOURCES.register("each")
class Each(Source):
    """One source for each input, so that many images, say, are written about in one call.

    Args:
        sources: as many as there are inputs, all of one kind of memory; None for an input without.

    Example:
        >>> pipe([None, None], context=[Each([Image("a.png"), Image("b.png")])])  # doctest: +SKIP
    """

    def __init__(self, sources: Sequence[Source | None]) -> None:
        kinds = {source.segment for source in sources if isinstance(source, Source)}
        if len(kinds) != 1 or not all(source is None or isinstance(source, Source) for source in sources):
            raise TypeError(
                f"Each takes a list of sources of one kind of memory, such as [Image('a.png'), Image('b.png')], got "
                f"{sources!r}."
            )
        self.sources, self.segment = tuple(sources), kinds.pop()
        self.reference = next(source.reference for source in self.sources if source is not None)

    def prepare(self, pipe: Any) -> Each:
        """Every source ready for a pipeline; raises what they raise."""
        return Each([None if source is None else source.prepare(pipe) for source in self.sources])

    def check(self, inputs: int) -> None:
        """Raises ValueError unless there are as many sources as inputs."""
        if inputs != len(self.sources):
            raise ValueError(
                f"There are {inputs} inputs and {len(self.sources)} sources in Each; give one source, or None, for each input."
            )

    def pieces(self, rows: Rows) -> list[list[Piece]]:
        """The pieces of each row's own source."""
        made: dict[int, list[list[Piece]]] = {}
        out: list[list[Piece]] = []
        for number, row in enumerate(rows.rows):
            source = self.sources[row.source]
            if source is None:
                out.append([])
                continue
            if row.source not in made:
                made[row.source] = source.pieces(rows)
            out.append(made[row.source][number])
        return out

    def states(self, rows: Sequence[Row]) -> list[tuple[str, ...]]:
        """See `Source`: what each row's own source asks for."""
        out: list[tuple[str, ...]] = [()] * len(rows)
        for number, source in enumerate(self.sources):
            own = [place for place, row in enumerate(rows) if row.source == number]
            if source is not None and own:
                for place, phrases in zip(own, source.states([rows[place] for place in own]), strict=True):
                    out[place] = phrases
        return out

    def to_dict(self) -> dict[str, Any]:
        """See `Source`."""
        return {"name": self.name, "sources": [None if source is None else source.to_dict() for source in self.sources]}
