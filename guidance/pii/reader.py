"""A second reader of finished texts, which shares nothing with the patterns and automata of this folder.

It reads as a stranger would: sees through characters (Unicode's own tables), picks the digits out of whatever stands
between them, and asks for the sums and parsers that such data has (Luhn; ISO 7064 for accounts; the standard library's
`ipaddress`). What it sees is not certified, whatever the patterns say.
"""

from __future__ import annotations

import html
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator

Range = tuple[int, int]
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def seen(text: str) -> tuple[str, list[int]]:
    """A text as it looks: compatible forms, ASCII digits, nothing without width; and the place of each character."""
    out: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if unicodedata.category(character) in ("Cf", "Mn", "Me"):
            continue
        for one in unicodedata.normalize("NFKC", character):
            value = unicodedata.decimal(one, None)
            shown = str(value) if value is not None else one
            out.append(" " if shown.isspace() else shown)
            places.append(place)
    return "".join(out), places


def strangers_view(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of what a stranger takes for personal data, in the text as given."""
    shown, places = seen(text)
    if not re.search("[0-9@:]|[aA][tT]", shown):
        return
    for kind, look in _LOOKS.items():
        for start, end in look(shown):
            yield kind, places[start], places[end - 1] + 1
    if re.search(r"[<&\\%]", shown):
        rendered, places = _rendered(shown, places)
        for kind in ("card", "phone", "national_id"):
            for start, end in _LOOKS[kind](rendered):
                yield kind, places[start], places[end - 1] + 1


def _rendered(text: str, places: list[int]) -> tuple[str, list[int]]:
    """A page as it is seen: tags are blanks, entities and escapes the characters that they stand for."""
    out: list[str] = []
    owners: list[int] = []
    for match in re.finditer(r"<[^<>]*>|&[#\w]+;|%2[0-9a-fA-F]|\\u[0-9a-fA-F]{4}|\\[a-z]+|(?s:.)", text):
        piece = match.group()
        if len(piece) > 1:
            rest = html.unescape(piece) if piece[0] == "&" else chr(int(piece[1:], 16)) if piece[0] == "%" else " "
            piece = rest if len(rest) == 1 and not rest.isspace() else " "
        out.append(piece)
        owners.append(places[match.start()])
    return "".join(out), owners


def _groups(text: str) -> Iterator[list[tuple[str, int]]]:
    """Runs of groups of digits with one to three characters between them that are neither letters nor money: their
    digits and places."""
    run: list[tuple[str, int]] = []
    end = -9
    for match in re.finditer(r"[0-9]+", text):
        between = text[end : match.start()]
        if run and not (len(between) <= 3 and not any(c.isalnum() or c in "£$€¥₹¢%°×÷" for c in between)):
            yield run
            run = []
        run.append((match.group(), match.start()))
        end = match.end()
    if run:
        yield run


def _emails(text: str) -> Iterator[Range]:
    for match in re.finditer(r"[^\s@<>()]+@[^\s@]+\.[a-zA-Z]{2,}", text):
        yield match.span()
    handle = r"([\w.+-]+)[ _|/-]at[ _|/-](?:gmail|hotmail|yahoo|icloud|aol|gmx|protonmail)\b"
    for match in re.finditer(handle, text, re.IGNORECASE):
        if re.search(r"[\d._+]", match[1].strip(".")):
            yield match.start(1), match.end()


def _cards(text: str) -> Iterator[Range]:
    for run in _groups(text):
        digits = "".join(group for group, _ in run)
        if 13 <= len(digits) <= 19 and digits[0] in "3456" and _luhn(digits):
            yield run[0][1], run[-1][1] + len(run[-1][0])


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (1 + n % 2) for n, d in enumerate(digits[::-1])]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


_PHONE_SHAPES = ((3, 3, 4), (3, 4, 4), (5, 6), (4, 3, 4), (2, 2, 2, 2, 2), (4, 7))


def _phones(text: str) -> Iterator[Range]:
    for run in _groups(text):
        shape = tuple(len(group) for group, _ in run)
        first = run[0]
        digits = sum(shape)
        plus = text[: first[1]].rstrip(" (").endswith("+")
        spelt = shape in _PHONE_SHAPES and first[0][0] == "0" and len(set(first[0])) > 1
        american = shape == (3, 3, 4) and first[0][0] in "23456789" and not any(g.endswith("0") for g, _ in run)
        whole = len(run) == 1 and 10 <= digits <= 11 and first[0][0] == "0" and not _part_of_decimal(text, first[1])
        if (plus and 8 <= digits <= 15) or spelt or american or whole:
            yield first[1], run[-1][1] + len(run[-1][0])
    for match in re.finditer(r"(?<!\w)1[-. )(]{1,2}8(00|33|44|55|66|77|88)[-. )(]{1,2}((?:[A-Z0-9]-?){7,})", text):
        if re.search("[A-Z]", match[2]):
            yield match.span()


def _part_of_decimal(text: str, start: int) -> bool:
    return bool(re.search(r"[0-9a-zA-Z][.,]?\Z", text[max(0, start - 2) : start]))


def _accounts(text: str) -> Iterator[Range]:
    for match in re.finditer(r"(?<![^\W_])[A-Z]{2}[0-9]{2}(?:[\W_]{0,2}[A-Z0-9]){11,30}", text):
        letters = re.sub(r"[\W_]", "", match.group())
        for length in range(len(letters), 14, -1):
            one = letters[4:length] + letters[:4]
            if sum(c.isdigit() for c in letters[:length]) >= 8 and int("".join(str(int(c, 36)) for c in one)) % 97 == 1:
                yield match.span()
                break


def _social_security(text: str) -> Iterator[Range]:
    for match in re.finditer(r"(?<!\d)(?!000|666)\d{3}[\W_]{1,3}\d{2}[\W_]{1,3}\d{4}(?!\d)", text):
        if not set(match.group()) & set("£$€¥₹¢%°×÷"):
            yield match.span()
    licence = r"(?:driver'?s?|driving) licen[cs]e(?: (?:number|no\.?))?(?: is)?[ :#]+([a-z0-9-]{6,})"
    for match in re.finditer(licence, text.lower().replace("’", "'")):
        if sum(c.isdigit() for c in match[1]) >= 4:
            yield match.span(1)


def _internet(text: str) -> Iterator[Range]:
    for match in re.finditer(r"(?<![\w.:])[0-9A-Fa-f:.]{3,45}(?![\w:])", text):
        found = match.group().rstrip(".")
        if found.count(".") == 3 and re.search(
            r"(?<!\w)(?:v|version|release|build|item|part|chapter|section|clause|paragraph|article|table|figure|fig"
            r"|appendix)[ .]*\Z",
            text[: match.start()].lower(),
        ):
            continue
        if "::" in found and not re.search("[0-9]", found):
            continue
        try:
            ipaddress.ip_address(found)
        except ValueError:
            continue
        if found != "::":
            yield match.start(), match.start() + len(found)


def _births(text: str) -> Iterator[Range]:
    pattern = r"(?<![^\W_])(\d{1,2})(?:st|nd|rd|th)?[\W_]{1,2}(?:of )?([a-z]{3,9})[\W_]{1,2}(19\d\d|20[01]\d)(?![^\W_])"
    for match in re.finditer(pattern, text.lower()):
        if 1 <= int(match[1]) <= 31 and match[2] in _MONTH_NAMES:
            yield match.span()


_FULL = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH_NAMES = {*_MONTHS, *_FULL, "sept"}

_LOOKS: dict[str, Callable[[str], Iterator[Range]]] = {
    "email": _emails,
    "card": _cards,
    "phone": _phones,
    "iban": _accounts,
    "national_id": _social_security,
    "ip": _internet,
    "birth_date": _births,
}
