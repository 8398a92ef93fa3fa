"""`Source`: one kind of memory that spans may look at, and the registry of all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from diffusionlm.denoiser import CANVAS, PROMPT
from diffusionlm.denoiser.contract import SEGMENTS
from diffusionlm.denoiser.media import KINDS
from diffusionlm.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusionlm.denoiser import DiffusionModel, Piece
    from diffusionlm.spans import Canvas, CanvasLayout
    from diffusionlm.text import TextTokenizer


class Row(Protocol):
    """Facts about a row that a source may use."""

    @property
    def canvas(self) -> Canvas:
        """Known text and spans."""
        ...

    @property
    def prompt(self) -> str:
        """The condition, "" for none."""
        ...

    @property
    def source(self) -> int:
        """Index of the input that it belongs to."""
        ...


class Rows(Protocol):
    """B rows that are written together, and what writes them.

    Attributes:
        rows: canvas and prompt of each.
        layouts: the canvas of each in tokens.
        model: what writes.
        tokenizer: its tokenizer.
    """

    rows: Sequence[Row]
    layouts: Sequence[CanvasLayout]
    model: DiffusionModel
    tokenizer: TextTokenizer


class Source:
    """One kind of memory. A subclass in one file, registered under a name, is all that a new kind takes.

    Attributes:
        name: as registered.
        segment: the kind of memory that its pieces are, an index into ``SEGMENTS``; classifier-free guidance leaves it out by
            that name.
        reference: the publication behind it, for the result's citation; "" for none.

    Example:
        >>> @SOURCES.register("dateline")  # doctest: +SKIP
        ... class Dateline(Source):
        ...     segment = PROMPT
        ...
        ...     def pieces(self, rows):
        ...         piece = text_piece(rows, self.segment, f"date[{date.today()}]")
        ...         return [[piece] for _ in rows.rows]
    """

    name: str = ""
    reference: str = ""
    segment: int

    def prepare(self, pipe: Any) -> Source:
        """The source ready for a pipeline: files are read and checked here, before any work starts.

        Raises:
            ValueError: if it does not fit the pipeline.
        """
        return self

    def check(self, inputs: int) -> None:
        """Refuses a call whose number of inputs does not fit; raises ValueError."""

    def pieces(self, rows: Rows) -> list[list[Piece]]:
        """The pieces of each row; asked for once for each batch of rows."""
        raise TypeError(f"{type(self).__name__} has no method pieces(rows): a source returns the pieces of each row.")

    def states(self, rows: Sequence[Row]) -> list[tuple[str, ...]]:
        """Phrases that each row's text must mention, as its pieces have them; none unless overridden."""
        return [()] * len(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that says what the source is, for the settings of a result."""
        return {"name": self.name or type(self).__name__}


def _on_contract(kind: Any, name: str) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Source)) or kind.pieces is Source.pieces:
        raise TypeError(
            f"The source {name!r} must be a subclass of diffusionlm.context.Source with a method pieces(rows) that returns a "
            "list of pieces for each row."
        )


SOURCES = Registry("source of memory", "diffusionlm.context", "SOURCES.register", _on_contract)


def segment_index(name: Any) -> int:
    """The index of a kind of memory from its name, "prompt" say, or from an index.

    Raises:
        ValueError: if there is no such kind.
    """
    if isinstance(name, str) and name in SEGMENTS:
        return SEGMENTS.index(name)
    if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(SEGMENTS):
        return name
    raise ValueError(f"There is no kind of memory {name!r}; there are: {', '.join(SEGMENTS)}.")


def segment_is_media(segment: int) -> bool:
    """Whether a kind of memory is images or sounds, which enter through an encoder of their own."""
    return segment < len(SEGMENTS) and SEGMENTS[segment] in KINDS


def check_readable(model: DiffusionModel, segment: int, source: str) -> None:
    """Refuses a kind of memory that a model has no way to read.

    Raises:
        ValueError: naming the kinds that it reads.
    """
    reads = getattr(model, "segments", frozenset({CANVAS, PROMPT}))
    if segment not in reads and segment_is_media(segment) and hasattr(model, "segments"):
        kind = SEGMENTS[segment]
        raise ValueError(
            f"This checkpoint has no encoder for {kind}s; train one with 'diffusionlm train init=CHECKPOINT "
            f"model.{kind}_encoder={{...}} data.{kind}_field={kind}'."
        )
    if segment not in reads:
        known = ", ".join(SEGMENTS[index] for index in sorted(reads) if index < len(SEGMENTS))
        raise ValueError(
            f"This model cannot read {SEGMENTS[segment]} memory, which the source {source!r} brings; it reads: {known}. Write "
            "with a checkpoint of diffusionlm, or put the text into the prompt."
        )


def text_piece(rows: Rows, segment: int, text: str, what: str, origin: Any = None) -> Piece:
    """A text that stands before the canvas, as a prompt does, in the memory of a kind.

    Args:
        rows: whose model and tokenizer it is for.
        segment: the kind.
        text: the text; pieces of equal text are encoded once.
        what: the noun for it in messages, with its article.
        origin: what the result says of it.

    Raises:
        ValueError: if it is longer than the model's memory of one piece, twice its longest text.
    """
    import torch

    from diffusionlm.denoiser import Piece

    encode = rows.tokenizer.encode_prompt if segment == PROMPT else rows.tokenizer.encode
    ids, limit = encode(text), 2 * rows.model.max_length
    if len(ids) > limit:
        raise ValueError(f"{what} has {len(ids)} tokens, at most {limit} are allowed: shorten it, or split it.")
    return Piece(segment, text, torch.arange(-len(ids), 0), torch.tensor(ids, dtype=torch.long), origin=origin)
