"""Corpora as pairs (prompt, text): local files, the Hugging Face hub, several sources at once.

Plain text, CSV and E2E files are read here; JSON lines, Parquet and the hub go through the `datasets` library, which is
imported when such a source is first read. Nothing is loaded whole: every source is an iterator. A byte-order mark at the
beginning of a file is no part of its text, and a field of CSV is text whatever it looks like ("NA", "007").
"""

from __future__ import annotations

import csv
import glob
import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.errors import SAVE_AS_UTF8, did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FORMATS = ("auto", "text", "e2e", "jsonl", "csv", "parquet", "hub")
ENDINGS = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_LOADERS = {"jsonl": "json", "parquet": "parquet"}  # our name of a format -> that of `datasets`
_READER_VERSIONS = {
    "csv": 2
}  # part of every fingerprint, else 1; raise it when the reader of a format changes what it returns
OF_A_SOURCE = (
    "format",
    "text_field",
    "prompt_field",
    "image_field",
    "sound_field",
    "max_examples",
    "subset",
    "revision",
    "streaming",
    "where",
)  # settings of a configuration's ``data`` that are of each source


@dataclass(frozen=True)
class TextSource:
    """One place that texts come from.

    Attributes:
        path: a file, a pattern such as ``texts/*.txt``, or with ``format="hub"`` the name of a data set on the hub.
        format: one of `FORMATS`; "auto" goes by the ending of the file name.
        text_field: the column that holds the text (not for "text" and "e2e").
        prompt_field: the column that holds the prompt, or None.
        image_field: the column that holds an image of each text: a path (beside the data file, or absolute), bytes or pixels.
        sound_field: likewise a sound: a WAV file, bytes or samples.
        split: of a data set on the hub.
        subset: of a data set on the hub, or None.
        revision: branch or commit on the hub, or None for the newest.
        streaming: read a data set of the hub while it downloads; needs ``max_examples``.
        max_examples: read no more than these, or None.
        condition: put before every prompt of this source, such as ``style[news]``; the model can then be asked for it.
        weight: this source's share of the training draws beside other sources; None draws all texts equally often.
        where: said when the data is missing: where to get it.

    Raises:
        ValueError: if a value is not allowed.
    """

    path: str
    format: str = "auto"
    text_field: str = "text"
    prompt_field: str | None = None
    image_field: str | None = None
    sound_field: str | None = None
    split: str = "train"
    subset: str | None = None
    revision: str | None = None
    streaming: bool = False
    max_examples: int | None = None
    condition: str | None = None
    weight: float | None = None
    where: str = "set data.train=FILE to a file with one text a line"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            hint = did_you_mean(self.format, FORMATS)
            raise ValueError(f"Unknown data format {self.format!r}; allowed are {', '.join(FORMATS)}.{hint}")
        if self.max_examples is not None and self.max_examples < 1:
            raise ValueError(f"max_examples must be at least 1, or null for all; got {self.max_examples}.")
        if self.streaming and self.max_examples is None:
            raise ValueError("A streamed data set needs a cap: set data.max_examples to a number.")
        if self.weight is not None and (isinstance(self.weight, bool) or not isinstance(self.weight, int | float)):
            raise ValueError(f"The weight of a source must be a number, got {self.weight!r} for {self.path!r}.")
        if self.weight is not None and not self.weight > 0:
            raise ValueError(f"The weight of a source must be positive, got {self.weight} for {self.path!r}.")

    # ---- what it is -------------------------------------------------------------------------------------------------

    @cached_property
    def kind(self) -> str:
        """The format, with "auto" resolved.

        Raises:
            ValueError: if the ending of the file name says nothing.
        """
        if self.format != "auto":
            return self.format
        ending = Path(self.path).suffix.lower()
        if ending not in ENDINGS:
            if Path(self.path).is_dir():
                raise ValueError(
                    f"The data file {self.path!r} is a folder, not a file; name a file, or files as in '{self.path}/*.txt'."
                )
            raise ValueError(
                f"The ending of {self.path!r} does not tell its format; set data.format to one of "
                f"{', '.join(f for f in FORMATS if f != 'auto')}."
            )
        return ENDINGS[ending]

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The local files, in order of their names; none for a data set of the hub.

        Raises:
            FileNotFoundError: if there is none.
        """
        if self.kind == "hub":
            return ()
        if Path(self.path).is_file():
            return (Path(self.path),)
        found = tuple(Path(name) for name in sorted(glob.glob(self.path, recursive=True)) if Path(name).is_file())
        if not found:
            what = "is a folder, not a file" if Path(self.path).is_dir() else "does not exist"
            raise FileNotFoundError(f"The data file {self.path!r} {what}; {self.where}.")
        return found

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content and of all settings that change what is read; the place does not count."""
        settings = {k: v for k, v in asdict(self).items() if k not in ("path", "format", "weight", "where")}
        settings = {k: v for k, v in settings.items() if v is not None or k not in ("image_field", "sound_field")}
        digest = hashlib.sha256(
            json.dumps([_READER_VERSIONS.get(self.kind, 1), self.kind, settings], sort_keys=True).encode()
        )
        for file in self.files:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        if self.kind == "hub":
            for pair in self.pairs():
                digest.update(json.dumps(pair).encode())
        return digest.hexdigest()

    # ---- reading ----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Reads the first text, so that a mistake shows before work starts.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if the source cannot be read, lacks a field, or holds no text.
        """
        if next(self.pairs(), None) is None:
            raise ValueError(f"{self.path!r} holds no text (read as {self.kind}).")

    def pairs(self) -> Iterator[tuple[str, str]]:
        """(prompt, text) in order; the prompt is empty where there is none, empty texts are skipped.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if the source cannot be read or lacks a field; the message names the place.
        """
        for prompt, text in islice(self._raw_pairs(), self.max_examples):
            yield ", ".join(part for part in (self.condition, prompt) if part), text

    def with_media(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(prompt, text, images and sounds by kind) in order; paths of files are complete.

        Raises:
            FileNotFoundError: if the data file is missing.
            ValueError: if it cannot be read or lacks a field.
        """
        if self.kind in ("text", "e2e"):
            raise ValueError(
                f"{self.path!r} is read as {self.kind}, which has no fields for images and sounds; use jsonl or parquet."
            )
        yield from islice(self._with_media(), self.max_examples)

    def _with_media(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        columns = {"image": self.image_field, "sound": self.sound_field}
        for file in self.files or (None,):
            part = self if file is None else replace(self, path=str(file), format=self.kind)
            for row, prompt, text in part._records([column for column in columns.values() if column]):
                cells = {kind: row[column] for kind, column in columns.items() if column and row[column] is not None}
                for kind, cell in cells.items():
                    if isinstance(cell, str) and file is not None and not Path(cell).is_absolute():
                        cells[kind] = str(file.parent / cell)
                yield ", ".join(found for found in (self.condition, prompt) if found), text, cells

    def _raw_pairs(self) -> Iterator[tuple[str, str]]:
        if self.kind == "text":
            for file in self.files:
                yield from (("", line) for line in _lines(file))
        elif self.kind == "e2e":
            for file in self.files:
                yield from read_e2e(file)
        else:
            yield from self._columns()

    def _columns(self) -> Iterator[tuple[str, str]]:
        yield from ((prompt, text) for _, prompt, text in self._records())

    def _records(self, more: Sequence[str] = ()) -> Iterator[tuple[Mapping[str, Any], str, str]]:
        """(row, prompt, text) of rows with a text; rows have the columns ``more`` too."""
        wanted = [self.text_field] + ([self.prompt_field] if self.prompt_field else [])
        for number, row in enumerate(self._rows(), start=1):
            for name in (*wanted, *more):
                if name not in row:
                    hint = did_you_mean(name, row)
                    settings = "data.text_field, data.prompt_field, data.image_field and data.sound_field"
                    raise ValueError(
                        f"{self.path!r} has no field {name!r}; its fields are {', '.join(map(repr, row))}.{hint} "
                        f"Set {settings if more else 'data.text_field and data.prompt_field'}."
                    )
            for name in wanted:
                if row[name] is not None and not isinstance(row[name], str):
                    raise ValueError(
                        f"{self.path!r}, row {number}: the field {name!r} holds {type(row[name]).__name__}, not text."
                    )
            text = (row[self.text_field] or "").strip()
            if text:
                yield row, (row[self.prompt_field] or "").strip() if self.prompt_field else "", text

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        if self.kind == "csv":
            for file in self.files:
                yield from _table(file)
            return
        import datasets

        try:
            if self.kind == "hub":
                yield from datasets.load_dataset(
                    self.path, self.subset, split=self.split, revision=self.revision, streaming=self.streaming
                )
                return
            names = [str(file) for file in self.files]
            yield from datasets.load_dataset(_LOADERS[self.kind], data_files=names, split="train", streaming=True)
        except Exception as error:  # dozens of types, those of Arrow and of network clients among them
            reason = next(iter(str(error.__cause__ or error).strip().splitlines()), type(error).__name__)
            if self.kind == "jsonl":
                reason = next(filter(None, map(_broken_line, self.files)), reason)
            what = "loaded from the hub" if self.kind == "hub" else f"read as {self.kind}"
            advice = "; check its name, data.subset, the split and the network" if self.kind == "hub" else ""
            raise ValueError(f"{self.path!r} cannot be {what}: {reason.rstrip('.')}{advice}.") from error


def parse_sources(value: Any, defaults: Mapping[str, Any] | None = None) -> list[TextSource]:
    """Sources as a configuration writes them.

    Args:
        value: a path, a dictionary of `TextSource`'s attributes, or a list of such.
        defaults: attributes of all that do not state them.

    Raises:
        ValueError: for an unknown attribute, an empty list, or weights for some sources only.
    """
    entries = value if isinstance(value, (list, tuple)) else [value]
    known = [field.name for field in fields(TextSource)]
    sources = []
    for entry in entries:
        settings = dict(entry) if isinstance(entry, dict) else {"path": entry}
        for name in settings:
            if name not in known:
                near = nearest(name, known)
                hint = f"did you mean {near!r}?" if near else f"allowed are {', '.join(known)}."
                raise ValueError(f"A data source has no setting {name!r}; {hint}")
        if not isinstance(settings.get("path"), str) or not settings["path"]:
            raise ValueError(f"A data source needs a path, got {entry!r}.")
        sources.append(TextSource(**{**(defaults or {}), **settings}))
    if not sources:
        raise ValueError("The list of data sources is empty; give at least one file.")
    if len({source.weight is None for source in sources}) > 1:
        without = [source.path for source in sources if source.weight is None]
        raise ValueError(f"Give all data sources a weight, or none; these have none: {', '.join(without)}.")
    return sources


def described_sources(data: Mapping[str, Any]) -> tuple[list[TextSource], list[TextSource]]:
    """Training and validation texts of the section ``data`` of a configuration; the latter may be empty. Nothing is read.

    Raises:
        ValueError: if a source is described wrongly.
    """
    defaults = {name: data[name] for name in OF_A_SOURCE if data.get(name) is not None}
    valid = parse_sources(data["valid"], defaults) if data.get("valid") else []
    return parse_sources(data["train"], defaults), valid


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8-sig") as stream:
            for line in stream:
                if line.strip():
                    yield line.strip()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(file)!r} is not UTF-8 text: {error.reason} at byte {error.start}; {SAVE_AS_UTF8}."
        ) from error


def _broken_line(file: Path) -> str:
    """The first line of a JSONL file that is no JSON, with what is wrong with it; "" where none is known."""
    try:
        with file.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                try:
                    text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                    row = json.loads(text) if text else {}
                except UnicodeDecodeError as error:
                    return f"line {number} is not UTF-8: {error.reason} at byte {error.start}; {SAVE_AS_UTF8}"
                except json.JSONDecodeError as error:
                    return f"line {number} is not JSON: {error.msg} at character {error.pos + 1}"
                if not isinstance(row, dict):
                    return f"line {number} must be a JSON object, got {type(row).__name__}"
    except (OSError, ValueError, RecursionError):
        return ""
    return ""


def _table(file: Path) -> Iterator[Mapping[str, str]]:
    """Rows of a CSV or TSV file with a header; every field is the text that stands there."""
    number = 1
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True)
            if not rows.fieldnames:
                raise ValueError("it has no header")
            rows.fieldnames = [name.strip() for name in rows.fieldnames]
            if twice := [name for n, name in enumerate(rows.fieldnames) if name and name in rows.fieldnames[:n]]:
                raise ValueError(f"its header has the field {twice[0]!r} twice; name each field once")
            for number, row in enumerate(rows, start=2):
                if None in row:
                    raise ValueError(
                        f"row {number} has more fields than the header; put texts with commas in double quotes"
                    )
                yield row
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        place = f"row {number + 1}: " if isinstance(error, csv.Error) else ""
        if isinstance(error, UnicodeDecodeError):
            raise ValueError(
                f"{str(file)!r} is not UTF-8 text: {error.reason} at byte {error.start}; {SAVE_AS_UTF8}."
            ) from error
        raise ValueError(f"{str(file)!r} cannot be read as csv: {place}{error}.") from error
