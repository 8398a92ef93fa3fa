"""Parts of a store: passages with their vectors, in memory or mapped from files. A part never changes once it is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.errors import reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT_UP_TO = 50_000
_AGAIN = "build the store again"
_PROBES = 32


def import_faiss() -> Any:
    """faiss.

    Raises:
        ModuleNotFoundError: naming the extra to install.
    """
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "A store needs the package faiss-cpu; run: pip install 'diffusionlm-toolkit[retrieval]'.", name="faiss"
        ) from error
    return faiss


def build_index(vectors: np.ndarray) -> Any:
    """Index over vectors (N, D) of length 1 by inner product: exact up to 50,000, of inverted lists above."""
    faiss = import_faiss()
    count, size = vectors.shape
    if count <= EXACT_UP_TO:
        index = faiss.IndexFlatIP(size)
    else:
        lists = int(4 * count**0.5)
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, lists, faiss.METRIC_INNER_PRODUCT)
        rng = np.random.default_rng(0)
        index.train(vectors[rng.choice(count, min(count, 40 * lists), replace=False)])
    index.add(np.ascontiguousarray(vectors))
    return index


class Part:
    """Passages in memory.

    Args:
        numbers: (N,) of the passages, increasing.
        texts: their texts.
        metadata: what else is known of each.
        index: over their vectors.
    """

    def __init__(
        self, numbers: np.ndarray, texts: Sequence[str], metadata: Sequence[dict[str, Any]], index: Any
    ) -> None:
        self.numbers, self._texts, self._metadata, self.index = numbers, texts, metadata, index

    def __len__(self) -> int:
        return len(self.numbers)

    def row(self, number: int) -> int | None:
        """Row of a passage, or None."""
        at = int(np.searchsorted(self.numbers, number))
        return at if at < len(self) and int(self.numbers[at]) == number else None

    def text(self, row: int) -> str:
        """A passage."""
        return self._texts[row]

    def metadata(self, row: int) -> dict[str, Any]:
        """Metadata of a passage."""
        return dict(self._metadata[row])

    def search(self, queries: np.ndarray, k: int, removed: np.ndarray) -> list[list[tuple[float, int]]]:
        """(cosine, row) of the nearest k for each query (Q, D), best first.

        Args:
            queries: vectors of length 1.
            k: how many.
            removed: (R,) numbers of passages to leave out, sorted.
        """
        faiss = import_faiss()
        gone: np.ndarray = np.flatnonzero(np.isin(self.numbers, removed, assume_unique=True)).astype(np.int64)
        selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(gone)) if len(gone) else None
        if isinstance(self.index, faiss.IndexIVF):
            probes = max(_PROBES, self.index.nlist // 8)
            how = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        else:
            how = faiss.SearchParameters(sel=selector)
        scores, rows = self.index.search(queries, min(k, len(self)), params=how)
        pairs = zip(scores.tolist(), rows.tolist(), strict=True)
        return [[(score, row) for score, row in zip(*pair, strict=True) if row >= 0] for pair in pairs]

    def vectors(self) -> np.ndarray:
        """(N, D) float32."""
        faiss = import_faiss()
        if isinstance(self.index, faiss.IndexIVF):
            self.index.make_direct_map()
        return self.index.reconstruct_n(0, len(self))

    def write(self, folder: Path) -> None:
        """Writes the files that `read_part` maps."""
        folder.mkdir(parents=True)
        count = range(len(self))
        for name, lines in (
            ("texts", (self.text(row).encode() for row in count)),
            ("metadata", (json.dumps(self.metadata(row), ensure_ascii=False).encode() for row in count)),
        ):
            ends = []
            with open(folder / f"{name}.bin", "wb") as file:
                for line in lines:
                    file.write(line)
                    ends.append(file.tell())
            np.save(folder / f"{name}.npy", np.array([0, *ends], dtype=np.int64))
        np.save(folder / "numbers.npy", self.numbers)
        import_faiss().write_index(self.index, str(folder / "index.faiss"))


class _Mapped:
    """Byte strings in one mapped file."""

    def __init__(self, folder: Path, name: str, count: int) -> None:
        self._ends = _array(folder / f"{name}.npy")
        if len(self._ends) != count + 1:
            raise ValueError(f"The store's {folder / name}.npy has no end for each of {count} passages; {_AGAIN}.")
        path = folder / f"{name}.bin"
        try:
            self._bytes = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
        except OSError as error:
            raise ValueError(f"The store's {path} cannot be read ({reason_of(error)}); {_AGAIN}.") from error
        if int(self._ends[-1]) != len(self._bytes):
            raise ValueError(
                f"The store's {path} has {len(self._bytes)} bytes where {int(self._ends[-1])} belong: it is damaged; {_AGAIN}."
            )

    def __getitem__(self, row: int) -> bytes:
        return self._bytes[int(self._ends[row]) : int(self._ends[row + 1])].tobytes()


class _MappedPart(Part):
    def text(self, row: int) -> str:
        try:
            return self._texts[row].decode()  # type: ignore[attr-defined]
        except UnicodeDecodeError as error:
            raise ValueError(
                f"Passage {int(self.numbers[row])} of the store is damaged ({error.reason}); {_AGAIN}."
            ) from error

    def metadata(self, row: int) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._metadata[row])  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(
                f"What stands beside passage {int(self.numbers[row])} of the store is damaged ({reason_of(error)}); {_AGAIN}."
            ) from error
        return found


def read_part(folder: Path) -> Part:
    """A part over files that are mapped, not read.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    faiss = import_faiss()
    numbers = _array(folder / "numbers.npy")
    path = folder / "index.faiss"
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"The store's {path} cannot be read ({reason_of(error)}); {_AGAIN}.") from error
    if index.ntotal != len(numbers):
        raise ValueError(f"The store's {path} has {index.ntotal} vectors for {len(numbers)} passages; {_AGAIN}.")
    texts, metadata = (_Mapped(folder, name, len(numbers)) for name in ("texts", "metadata"))
    return _MappedPart(numbers, texts, metadata, index)  # type: ignore[arg-type]


def _array(path: Path) -> np.ndarray:
    try:
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"The store's {path} cannot be read ({reason_of(error)}); {_AGAIN}.") from error
    if found.ndim != 1 or found.dtype.kind != "i" or bool((found[1:] < found[:-1]).any()):
        raise ValueError(f"The store's {path} holds no whole numbers in rising order: it is damaged; {_AGAIN}.")
    return found
