"""The E2E restaurant corpus (Novikova et al. 2017, https://arxiv.org/abs/1706.09254), as pairs of fields and sentence.

One line of the file: `name : The Mill | Type : pub | price : £ 20 - 25||The Mill is a pub . Prices are £ 20 - 25 .`
"""

from __future__ import annotations

from pathlib import Path

from diffusionlm.corpora.detokenize import detokenize
from diffusionlm.text.lines import read_lines

_EXAMPLE = "name : The Mill | Type : pub||The Mill is a pub ."


def read_e2e(path: str | Path) -> list[tuple[str, str]]:
    """Pairs (condition, text) in the order of the file, both as natural text.

    A condition reads `name[The Mill], type[pub], price[£20-25]`: fields in the order of the line, field names in lower
    case. Empty lines are skipped.

    Raises:
        FileNotFoundError: there is no file at `path`.
        ValueError: a line is not of the form above; the message names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no E2E file at '{path}': give a text file with lines such as '{_EXAMPLE}'")
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            pairs.append(_parse(line, f"{path}, line {number}"))
    return pairs


def format_condition(fields: dict[str, str]) -> str:
    """`{"name": "The Mill", "food": "Italian"}` as the condition `name[The Mill], food[Italian]`."""
    return ", ".join(f"{name.strip().lower()}[{detokenize(value)}]" for name, value in fields.items())


def _parse(line: str, place: str) -> tuple[str, str]:
    fields_text, separator, text = line.partition("||")
    if not separator or not text.strip():
        raise ValueError(f"{place}: expected 'field : value | field : value||sentence', got {line[:80]!r}")
    fields = {}
    for part in fields_text.split("|"):
        name, colon, value = part.partition(":")
        if not colon or not name.strip() or not value.strip():
            raise ValueError(f"{place}: expected a field of the form 'name : value', got {part.strip()!r}")
        fields[name] = value
    return format_condition(fields), detokenize(text)
