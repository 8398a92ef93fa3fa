"""Learned concepts as memory: a few vectors that stand for what some example texts have in common.

Source: Gal et al. 2022 ("An image is worth one word", textual inversion), in the space of memory inputs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.context.encoders import fingerprint
from diffusionlm.context.source import SOURCES, Row, Rows, Source
from diffusionlm.denoiser import CONCEPT, Piece
from diffusionlm.denoiser.copy_bias import CopyBias
from diffusionlm.errors import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path("concepts")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")


def check_name(name: Any) -> str:
    """A name that a concept can have.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith(".safetensors"):
        raise ValueError(
            f"A concept's name is made of letters, digits, spaces, hyphens, dots and underscores, as 'house-style' is; got "
            f"{name!r}."
        )
    return name


@dataclass(frozen=True)
class LearnedConcept:
    """A concept as it was learned.

    Attributes:
        name: its name.
        vectors: (N, C) float32: keys and values of every block, side by side; or, with C = D, inputs of memory in the space of
            token embeddings.
        base: fingerprint of the network that they were learned with.
        card: facts: examples, steps, loss before and after.
        copies: pairs of tokens that its examples share.
    """

    name: str
    vectors: Tensor
    base: str
    card: Mapping[str, Any]
    copies: CopyBias | None = None

    def save(self, path: str | Path) -> Path:
        """Writes a safetensors file in one go; a folder gets ``NAME.safetensors``. Returns the file's path."""
        from safetensors.torch import save

        target = Path(path)
        if target.suffix != ".safetensors":
            target = target / f"{self.name}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        card = {"kind": "diffusionlm concept", "name": self.name, "base": self.base, **self.card}
        draft = target.with_name(f".{target.name}.draft")
        try:
            tensors = {"vectors": self.vectors.contiguous()}
            if self.copies is not None:
                tensors |= {"tokens": self.copies.tokens, "table": self.copies.table}
            draft.write_bytes(save(tensors, {"card": json.dumps(card, ensure_ascii=False)}))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return target

    @classmethod
    def load(cls, path: str | Path) -> LearnedConcept:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged or holds no concept.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise FileNotFoundError(
                f"There is no concept file {path}; learn one with pipe.learn_concept or 'diffusionlm concept'."
            )
        try:
            with safe_open(str(path), "pt") as file:
                card = json.loads((file.metadata() or {})["card"])
                vectors = file.get_tensor("vectors")
                held = {"tokens", "table"} <= set(file.keys())
                copies = CopyBias(file.get_tensor("tokens"), file.get_tensor("table")) if held else None
                name, base = card.pop("name"), card.pop("base")
        except (SafetensorError, KeyError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"{path} is damaged or holds no concept ({error}); learn it again.") from error
        if vectors.dim() != 2 or not vectors.numel() or not bool(torch.isfinite(vectors).all()):
            raise ValueError(
                f"{path} holds no usable vectors, their shape is {tuple(vectors.shape)}; learn the concept again."
            )
        if copies is not None and not copies.fits:
            raise ValueError(
                f"{path} holds pairs of tokens that do not fit together: tokens {tuple(copies.tokens.shape)}, table "
                f"{tuple(copies.table.shape)}; learn the concept again."
            )
        return cls(check_name(name), vectors.float(), str(base), card, copies)


@SOURCES.register("concept")
class Concept(Source):
    """A learned concept, before the text of every row.

    Args:
        concept: its name, as learned with the pipeline or saved in the folder ``concepts``; the path of its file; or a
            `LearnedConcept`.
        state: phrases that every text mentions, its name say, as a rule that always holds; a small or a large letter may
            begin them.

    Example:
        >>> pipe("[SPAN]", context=[Concept("house-style")])  # doctest: +SKIP
    """

    segment = CONCEPT
    reference = "Gal et al. 2022, An image is worth one word"

    def __init__(self, concept: str | Path | LearnedConcept, state: Sequence[str] = ()) -> None:
        if not isinstance(concept, str | Path | LearnedConcept):
            raise TypeError(f"Concept takes a name, the path of a file or a LearnedConcept, got {concept!r}.")
        phrases = (state,) if isinstance(state, str) else tuple(state) if isinstance(state, list | tuple) else (None,)
        if not all(isinstance(phrase, str) and phrase.strip() for phrase in phrases):
            raise ValueError(
                f"state must be phrases that every text mentions, as in ['The Golden Lamb']; got {state!r}."
            )
        self.concept, self.state = concept, phrases

    def prepare(self, pipe: Any) -> Concept:
        """The concept read from its file, and checked against the pipeline's weights.

        Raises:
            ValueError: if there is none of that name, or it was learned with other weights.
        """
        found = self.concept if isinstance(self.concept, LearnedConcept) else find_concept(self.concept, pipe.concepts)
        base = fingerprint(pipe.denoiser)
        if found.base != base:
            raise ValueError(
                f"The concept {found.name!r} was learned with other weights (base {found.base}, these are {base}): its vectors "
                "mean nothing here. Load its own checkpoint, or learn it again with this one."
            )
        return Concept(found, self.state)

    def states(self, rows: Sequence[Row]) -> list[tuple[str, ...]]:
        """See `Source`."""
        return [self.state] * len(rows)

    def pieces(self, rows: Rows) -> list[list[Piece]]:
        """One piece a row, its vectors at the places before the text."""
        found = self.concept
        assert isinstance(found, LearnedConcept)
        count = len(found.vectors)
        key = (found.name, found.vectors.numpy().tobytes())
        origin = {"source": self.name, "name": found.name}
        places = torch.arange(-count, 0)
        piece = Piece(CONCEPT, key, places, raw=found.vectors, origin=origin, copies=found.copies)
        return [[piece] for _ in rows.rows]

    def to_dict(self) -> dict[str, Any]:
        """See `Source`."""
        found = self.concept
        concept = found.name if isinstance(found, LearnedConcept) else str(found)
        return {"name": self.name, "concept": concept, **({"state": list(self.state)} if self.state else {})}


def find_concept(name: str | Path, learned: Mapping[str, LearnedConcept]) -> LearnedConcept:
    """A concept by its name or path.

    Args:
        name: as `Concept` takes it.
        learned: those that a pipeline has, by name.

    Raises:
        ValueError: if there is none of that name.
    """
    if str(name) in learned:
        return learned[str(name)]
    if isinstance(name, Path) or str(name).endswith(".safetensors"):
        return LearnedConcept.load(name)
    path = FOLDER / f"{check_name(name)}.safetensors"
    if path.is_file():
        return LearnedConcept.load(path)
    known = [*learned, *(path.stem for path in FOLDER.glob("*.safetensors"))]
    raise ValueError(
        f"There is no concept {str(name)!r}; {suggestion(str(name), known)} Learn one with pipe.learn_concept(name, texts), or "
        "give the path of its file."
    )
