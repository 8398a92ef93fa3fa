"""`Store`: passages that a model can look up, by the cosine of a sentence encoder.

On disk a store is a folder of parts that never change and a manifest, ``store.json``, that is replaced in one go: whoever
reads keeps the parts that it has, whatever is added or removed meanwhile.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.context.encoders import MINILM, WORDS, Encoder, make_encoder
from diffusionlm.context.parts import Part, build_index, read_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MANIFEST = "store.json"
_VERSION = 1
_MOST_PARTS = 16
_PART = re.compile(r"part-[0-9a-f]{1,32}")


@dataclass(frozen=True)
class Passage:
    """A passage that was found.

    Attributes:
        number: of the passage in its store, for `Store.remove`.
        text: the passage.
        score: cosine of its vector and the query's.
        metadata: what else was stored with it.
    """

    number: int
    text: str
    score: float = 1.0
    metadata: dict[str, Any] = field(default_factory=dict)


class Store:
    """Passages with vectors; made by `build` or `load`.

    Args:
        encoder: of queries and passages.
        parts: that it begins with.
        removed: numbers of passages that are no longer found.
        following: number of the next passage.
    """

    def __init__(
        self, encoder: Encoder, parts: Sequence[Part] = (), removed: Iterable[int] = (), following: int = 0
    ) -> None:
        self.encoder = encoder
        self._state: tuple[tuple[Part, ...], np.ndarray] = (tuple(parts), np.array(sorted(removed), dtype=np.int64))
        self._next, self._writing = following, threading.Lock()
        self._folder: Path | None = None
        self._saved: dict[Part, str] = {}
        self._revision = ""

    # ---- content ----------------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        texts: Iterable[str | Mapping[str, Any]],
        folder: str | Path | None = None,
        encoder: Any = MINILM,
        text_field: str = "text",
    ) -> Store:
        """A store of passages.

        Args:
            texts: strings; or rows of a dataset, whose other fields become metadata.
            folder: where to save it; not saved if None.
            encoder: "minilm", by meaning; "words", by the words that texts share; a pipeline, for its model's own context
                encoder; or an object with ``name``, ``checksum`` and ``encode(texts)``.
            text_field: field of a row that has the passage.

        Raises:
            ValueError: if there is no passage, one is empty, or longer than the encoder reads.
        """
        store = cls(make_encoder(encoder))
        store.add(texts, text_field=text_field)
        if folder is not None:
            store.save(folder)
        return store

    def add(self, texts: Iterable[str | Mapping[str, Any]], text_field: str = "text") -> list[int]:
        """Adds passages; searches that run meanwhile go on.

        Args:
            texts: as in `build`.
            text_field: likewise.

        Returns:
            Their numbers.

        Raises:
            ValueError: as in `build`; nothing is added then.
        """
        passages, metadata = _read(texts, text_field)
        _check_metadata(metadata)
        vectors = self._vectors(passages)
        index = build_index(vectors)
        with self._writing:
            numbers: np.ndarray = np.arange(self._next, self._next + len(passages), dtype=np.int64)
            self._next += len(passages)
            parts, removed = self._state
            self._state = ((*parts, Part(numbers, passages, metadata, index)), removed)
        return [int(number) for number in numbers]

    def remove(self, numbers: int | Passage | Iterable[int | Passage]) -> None:
        """Removes passages by their numbers, or as a search gave them.

        Raises:
            ValueError: if there is none of that number; nothing is removed then.
        """
        given = [numbers] if isinstance(numbers, int | np.integer | Passage) else list(numbers)
        wanted = [int(one.number if isinstance(one, Passage) else one) for one in given]
        with self._writing:
            parts, removed = self._state
            for number in wanted:
                if number in removed or all(part.row(number) is None for part in parts):
                    raise ValueError(f"The store has no passage {number}; search gives the numbers of passages.")
            self._state = (parts, np.union1d(removed, np.array(wanted, dtype=np.int64)))

    def __len__(self) -> int:
        parts, removed = self._state
        return sum(map(len, parts)) - len(removed)

    def __iter__(self) -> Iterator[Passage]:
        parts, removed = self._state
        gone = set(removed.tolist())
        for part in parts:
            for row, number in enumerate(part.numbers.tolist()):
                if number not in gone:
                    yield Passage(number, part.text(row), metadata=part.metadata(row))

    def search(self, queries: Sequence[str], k: int = 4) -> list[list[Passage]]:
        """The nearest k passages of each query, best first.

        Raises:
            ValueError: if the store is empty, or ``k`` is less than 1.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"k must be at least 1, got {k!r}.")
        if isinstance(queries, str) or not all(isinstance(query, str) for query in queries):
            raise ValueError(f"search takes a list of texts, as in store.search(['a pub']); got {queries!r}.")
        parts, removed = self._state
        if sum(map(len, parts)) == len(removed):
            raise ValueError("The store is empty; add passages with store.add([...]).")
        if not queries:
            return []
        vectors = self._vectors(list(queries))
        found: list[list[tuple[float, int, Part]]] = [[] for _ in queries]
        for part in parts:
            for own, nearest in zip(found, part.search(vectors, k, removed), strict=True):
                own += [(score, row, part) for score, row in nearest]
        return [
            [
                Passage(int(part.numbers[row]), part.text(row), score, part.metadata(row))
                for score, row, part in sorted(own, key=lambda hit: (-hit[0], int(hit[2].numbers[hit[1]])))[:k]
            ]
            for own in found
        ]

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """(N, D) float32 of the encoder, which may be anybody's.

        Raises:
            ValueError: if they are of another shape than those that are there, or no finite numbers.
        """
        vectors = np.ascontiguousarray(self.encoder.encode(texts), dtype=np.float32)
        sizes = {part.index.d for part in self._state[0]} or {vectors.shape[-1]}
        if vectors.ndim != 2 or len(vectors) != len(texts) or {vectors.shape[1]} != sizes:
            wanted = f"of length {', '.join(map(str, sizes))}" if self._state[0] else "of one length"
            raise ValueError(
                f"The encoder {self.encoder.name!r} made vectors of shape {vectors.shape} of {len(texts)} texts; there must "
                f"be one {wanted} for each."
            )
        if not np.isfinite(vectors).all():
            raise ValueError(
                f"The encoder {self.encoder.name!r} made vectors that are no finite numbers; look at its texts."
            )
        return vectors

    # ---- files ------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path | None = None) -> None:
        """Writes new parts, then the manifest; a kill leaves the store as it was.

        Args:
            folder: where; that of the last save or load if None.

        Raises:
            ValueError: if no folder is known, it holds something else, or another process has saved to it meanwhile.
        """
        if folder is None and self._folder is None:
            raise ValueError("Say where to save the store: store.save(folder).")
        target = Path(folder if folder is not None else self._folder or "")
        with self._writing:
            if self._folder != target.resolve():
                if target.exists() and (not target.is_dir() or any(target.iterdir())):
                    raise ValueError(
                        f"{target} is not an empty folder, and this store was not loaded from it; name another, or go on "
                        "with the store that is there: Store.load(folder)."
                    )
                self._saved, self._revision = {}, ""
            elif _manifest(target)["revision"] != self._revision:
                raise ValueError(f"Another process has changed {target} since it was loaded; load it again, then add.")
            target.mkdir(parents=True, exist_ok=True)
            if len(self._state[0]) > _MOST_PARTS:
                self._merge()
            parts, removed = self._state
            for part in parts:
                if part not in self._saved:
                    name = f"part-{uuid.uuid4().hex[:12]}"
                    draft = target / f".{name}"
                    try:
                        part.write(draft)
                        draft.rename(target / name)
                    finally:
                        shutil.rmtree(draft, ignore_errors=True)
                    self._saved[part] = name
            revision = uuid.uuid4().hex
            data = {
                "version": _VERSION,
                "revision": revision,
                "encoder": {"name": self.encoder.name, "checksum": self.encoder.checksum},
                "parts": [self._saved[part] for part in parts],
                "removed": removed.tolist(),
                "next": self._next,
                "passages": len(self),
            }
            draft = target / f".{MANIFEST}"
            draft.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
            draft.replace(target / MANIFEST)
            self._folder, self._revision = target.resolve(), revision
            for path in target.glob("part-*"):  # mapped files of those who still read them stay until they are closed
                if path.name not in data["parts"]:
                    shutil.rmtree(path, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | Path, encoder: Any = None) -> Store:
        """A store over the files of a folder, which are mapped, not read.

        Args:
            folder: of the store.
            encoder: as in `build`; needed where it was built with anything but "minilm" and "words".

        Raises:
            FileNotFoundError: if there is no store.
            ValueError: if it is damaged, or was built with another encoder.
        """
        path = Path(folder)
        data = _manifest(path)
        own = data["encoder"]
        if encoder is None and own["name"] not in (MINILM, WORDS):
            raise ValueError(
                f"The store {path} was built with the encoder {own['name']!r}; give it: Store.load(folder, encoder=pipe) for "
                "the pipeline whose model that is."
            )
        made = make_encoder(own["name"] if encoder is None else encoder)
        if (made.name, made.checksum) != (own["name"], own["checksum"]):
            raise ValueError(
                f"The store {path} was built with the encoder {own['name']!r} ({own['checksum']}), this one is {made.name!r} "
                f"({made.checksum}): their vectors do not compare. Load it with its own, or build it again."
            )
        parts = [read_part(path / name) for name in data["parts"]]
        store = cls(made, parts, data["removed"], data["next"])
        store._folder, store._revision = path.resolve(), data["revision"]
        store._saved = dict(zip(parts, data["parts"], strict=True))
        return store

    def _merge(self) -> None:
        """One part of all passages that are left, in place of many; called while writing."""
        parts, removed = self._state
        keep = [~np.isin(part.numbers, removed) for part in parts]
        rows = [(part, row) for part, mask in zip(parts, keep, strict=True) for row in np.flatnonzero(mask).tolist()]
        if not rows:
            self._state = ((), np.zeros(0, dtype=np.int64))
            return
        vectors = np.concatenate([part.vectors()[mask] for part, mask in zip(parts, keep, strict=True)])
        numbers = np.array([int(part.numbers[row]) for part, row in rows], dtype=np.int64)
        texts, metadata = [part.text(row) for part, row in rows], [part.metadata(row) for part, row in rows]
        self._state = ((Part(numbers, texts, metadata, build_index(vectors)),), np.zeros(0, dtype=np.int64))


def _read(texts: Iterable[str | Mapping[str, Any]], text_field: str) -> tuple[list[str], list[dict[str, Any]]]:
    if isinstance(texts, str):
        raise ValueError(f"Give a list of passages, not one text: [{texts[:40]!r}].")
    passages, metadata = [], []
    for number, item in enumerate(texts):
        if not isinstance(item, str | Mapping):
            raise ValueError(
                f"Passage {number} is {item!r}; a passage is a text, or a mapping with its text in {text_field!r} whose other "
                "fields are metadata."
            )
        row = {text_field: item} if isinstance(item, str) else dict(item)
        text = row.pop(text_field, None)
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"Passage {number} has no text in the field {text_field!r}: {str(item)[:60]!r}.")
        passages.append(text)
        metadata.append(row)
    if not passages:
        raise ValueError("There are no passages to add; give at least one text.")
    return passages, metadata


def _check_metadata(metadata: list[dict[str, Any]]) -> None:
    """Raises ValueError where what is stored beside a passage could not be written to its file."""
    for number, row in enumerate(metadata):
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"What stands beside passage {number} cannot be written as JSON ({error}); give texts, numbers and lists, or "
                "leave it out."
            ) from None


def encoder_of(folder: str | Path) -> str:
    """Name of the encoder that a store was built with.

    Raises:
        FileNotFoundError: if there is no store.
        ValueError: if it is damaged.
    """
    return str(_manifest(Path(folder))["encoder"]["name"])


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no store at {folder}: it has no {MANIFEST}. Make one with Store.build(texts, folder)."
        )
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] > _VERSION:
            raise ValueError(f"it has version {data['version']}, this library reads {_VERSION}")
        if missing := {"encoder", "parts", "removed", "next", "revision"} - set(data):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        if not all(isinstance(data["encoder"][name], str) for name in ("name", "checksum")):
            raise ValueError("its encoder has no name and checksum")
        if not all(_PART.fullmatch(name) for name in data["parts"]):
            raise ValueError(f"its parts are {data['parts']!r}, which are none of its own")
        if not all(type(number) is int for number in (*data["removed"], data["next"])):
            raise ValueError("its numbers of passages are no whole numbers")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}); build the store again.") from error
    return data
