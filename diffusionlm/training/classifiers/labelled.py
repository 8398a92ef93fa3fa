"""Labelled texts for readers: what holds of a text, and which of its characters are what."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.errors import SAVE_AS_UTF8, did_you_mean

if TYPE_CHECKING:
    from diffusionlm.corpora.sources import TextSource

ENDINGS = (".jsonl", ".json", ".csv", ".tsv")


@dataclass(frozen=True)
class Example:
    """A labelled text.

    Attributes:
        text: the text.
        labels: what holds of it, name -> probability in [0, 1]; what is not there is unknown.
        spans: (start, end, type) in characters; None where nothing is known of its tokens.
        prompt: the condition that the text was written for, or "".
    """

    text: str
    labels: Mapping[str, float] = field(default_factory=dict)
    spans: Sequence[tuple[int, int, str]] | None = None
    prompt: str = ""


@dataclass(frozen=True)
class Fields:
    """Names of a file's columns.

    Attributes:
        text: the column of the text.
        labels: the column, or columns, of the labels. A number is the probability of the label that is called like the
            column; a name is a label that holds; a list holds names; a mapping gives name -> probability.
        spans: the column of character spans, lists of (start, end, type).
        prompt: the column of the prompt, or None.
        types: span types to take, and what to call them; None takes all as they are.
        threshold: None takes probabilities as they are, a number makes 0 and 1 of them.
    """

    text: str = "text"
    labels: str | Sequence[str] = ("label", "labels")
    spans: str = "spans"
    prompt: str | None = None
    types: Mapping[str, str] | None = None
    threshold: float | None = None


def read_examples(path: str | Path, fields: Fields = Fields()) -> list[Example]:
    """All labelled texts of a file, or of every file of a folder: JSON lines, CSV or TSV.

    An empty label is an unknown one, spaces around a name do not count, and "NA" is a name like any other.
    Names of labels that hold of some texts do not hold of the others, where a row has a list of them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file cannot be read, lacks the text, or has neither labels nor spans.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
        if not files:
            raise FileNotFoundError(f"The folder {path} holds no labelled texts ({', '.join(ENDINGS)}).")
    elif path.is_file():
        files = [path]
    else:
        raise FileNotFoundError(f"The file of labelled texts {str(path)!r} does not exist.")
    rows = [(file, number, row) for file in files for number, row in enumerate(_rows(file), start=1)]
    columns = [fields.labels] if isinstance(fields.labels, str) else list(fields.labels)
    listed = _listed_names(rows, columns)
    examples = [_example(f"{file}, row {number}", row, fields, columns, listed) for file, number, row in rows]
    if not any(example.labels or example.spans is not None for example in examples):
        found = dict.fromkeys(str(name) for *_, row in rows for name in row)
        raise ValueError(
            f"No row of {path} has labels in {', '.join(map(repr, columns))} or spans in {fields.spans!r}; its fields are "
            f"{', '.join(found) or 'none'}. Say which hold them with data.label_field and data.span_field."
        )
    return [example for example in examples if example.text.strip()]


def plain_examples(sources: Sequence[TextSource], labelled: Sequence[Example]) -> list[Example]:
    """Texts of which no label holds that occurs in ``labelled``, and none of whose tokens has one.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a source cannot be read.
    """
    names = dict.fromkeys((name for example in labelled for name in example.labels), 0.0)
    spans: list[tuple[int, int, str]] | None = [] if any(example.spans is not None for example in labelled) else None
    return [Example(text, names, spans, prompt) for source in sources for prompt, text in source.pairs()]


def _rows(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix.lower() in (".csv", ".tsv"):
                table = csv.DictReader(stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True)
                table.fieldnames = [name.strip() for name in table.fieldnames or []]
                if twice := [name for n, name in enumerate(table.fieldnames) if name and name in table.fieldnames[:n]]:
                    raise ValueError(f"its header has the field {twice[0]!r} twice; name each field once.")
                for number, row in enumerate(table, start=2):
                    if None in row:
                        raise ValueError(
                            f"row {number} has more fields than the header; put texts with commas in double quotes."
                        )
                    yield row
                return
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                yield _json_row(line, number)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start}; {SAVE_AS_UTF8}.") from error
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{file} cannot be read as labelled texts: {error}") from error


def _json_row(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        row = None
    if not isinstance(row, dict):
        text = line.strip()
        raise ValueError(
            f"line {number} is no JSON object: {text[:40] + ('...' if text[40:] else '')!r}. Labelled texts are JSON lines, "
            'one object a line, such as {"text": "A fine day.", "label": 1}, or a .csv or .tsv with a header; plain texts, of '
            "which no label holds, go into data.without=FILE beside them."
        )
    return row


def _listed_names(rows: Sequence[tuple[Path, int, Mapping[str, Any]]], columns: Sequence[str]) -> set[str]:
    names: set[str] = set()
    for _, _, row in rows:
        for column in columns:
            value = row.get(column)
            if isinstance(value, list):
                names.update(_name(name) for name in value)
            elif isinstance(value, str) and not _is_number(value):
                names.add(_name(value))
    return names - {""}


def _example(where: str, row: Mapping[str, Any], fields: Fields, columns: Sequence[str], listed: set[str]) -> Example:
    if not isinstance(row.get(fields.text), str):
        if fields.text in row:
            raise ValueError(f"{where}: the field {fields.text!r} holds {type(row[fields.text]).__name__}, not text.")
        hint = did_you_mean(fields.text, list(row))
        raise ValueError(f"{where}: there is no text in {fields.text!r}; its fields are {', '.join(row)}.{hint}")
    labels: dict[str, float] = {}
    for column in columns:
        value = row.get(column)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue  # unknown
        if isinstance(value, Mapping):
            labels |= {_name(name): _probability(where, column, p) for name, p in value.items() if p is not None}
        elif isinstance(value, list) or (isinstance(value, str) and not _is_number(value)):
            held = {_name(name) for name in value} if isinstance(value, list) else {_name(value)}
            labels |= {name: float(name in held) for name in listed}
        else:
            labels[column] = _probability(where, column, value)
    if fields.threshold is not None:
        labels = {name: float(p >= fields.threshold) for name, p in labels.items()}
    prompt = row.get(fields.prompt) if fields.prompt else None
    return Example(
        row[fields.text], labels, _spans(where, row.get(fields.spans), row[fields.text], fields), prompt or ""
    )


def _spans(where: str, given: Any, text: str, fields: Fields) -> list[tuple[int, int, str]] | None:
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    spans = []
    try:
        for start, end, kind in json.loads(given) if isinstance(given, str) else given:
            if not 0 <= start <= end <= len(text):
                raise ValueError(f"({start}, {end}) lies outside the text of {len(text)} characters")
            if not _name(kind):
                raise ValueError(f"({start}, {end}) has no type")
            if fields.types is None or _name(kind) in fields.types:
                spans.append((int(start), int(end), _name(kind) if fields.types is None else fields.types[_name(kind)]))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: {fields.spans!r} must hold [start, end, type] in characters, one for each span; {error}."
        ) from error
    return spans


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _name(given: Any) -> str:
    """A label as it counts: spaces around it do not make another one."""
    return str(given).strip()


def _probability(where: str, column: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError(f"{where}: the label {column!r} must be a probability in [0, 1], got {value!r}.")
    return number
