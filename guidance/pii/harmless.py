"""Numbers: what holds the digits of one together, and which are nobody's (prices, times, years, ranges, decimals).

A number goes on over any characters that are neither letters nor digits, but for signs of money and measure, and but for
a comma or stop with a blank behind it: "020_7946/0958" is one number, "12, 1990" are two. A number of many digits that
reads as a price, an opening hour or a range from end to end is no telephone number. What no harmless number does is what
tells: a zero in front, groups that are neither round nor thousands, a single blank in the middle.

All expressions read plain texts (`pii.folding`).
"""

from __future__ import annotations

BETWEEN = r"(?:_|[^\w£$€¥₹¢%°×÷\ufffc])"
"""One character that may stand between the digits of one number."""
S = BETWEEN + "*"

STOP = r"[,;:.!?]"
_NO_STOP = r"(?:_|[^\w£$€¥₹¢%°×÷\ufffc,;:.!?])"
_NO_BLANK = r"(?:_|[^\w\s£$€¥₹¢%°×÷\ufffc,;:.!?])"
T = rf"(?:{_NO_STOP}|{STOP}+{_NO_BLANK})*{STOP}*"
"""What holds the digits of a number together: like `S`, but no stop with a blank behind it."""

_YEAR = r"(?:1[5-9]|20)[0-9]{2}"
_ROUND = r"(?:[1-9][0-9]?0|[1-9][0-9](?:00|50)|[1-9][0-9]{1,3}00)"
_WHOLE = rf"(?:0|[1-9][0-9]?|{_ROUND}|{_YEAR})"
_PARTS = r"(?:0?[0-9]|[1-9][0-9]{1,3})[.,:][0-9]{1,2}"  # prices and times
_THOUSANDS = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]{1,2})?|[1-9][0-9]?(?:\.[0-9]{3})+(?:,[0-9]{1,2})?)"
_DATE = rf"(?:[0-3]?[0-9] ?[./\-] ?[0-3]?[0-9] ?[./\-] ?{_YEAR}|{_YEAR}[./\-][01]?[0-9][./\-][0-3]?[0-9])"
_TIME = r"[0-2]?[0-9][.:][0-5][0-9](?:[.:][0-5][0-9])?"
_JOIN = r" ?[\-/|&+*=] ?"  # from, to
_ITEM = rf"(?:{_WHOLE}|{_PARTS}|{_THOUSANDS})"

HARMLESS: tuple[str, ...] = (
    rf"{_ITEM}(?:{_JOIN}{_ITEM})?",
    rf"{_DATE}(?: (?:- )?{_TIME}(?: ?- ?{_TIME})?| ?- ?{_DATE})?",
    rf"(?:{_YEAR} )?{_TIME}(?: ?- ?{_TIME})?",
    r"[1-9][0-9]{0,6}[.,][0-9]{2}",  # prices
    r"(?:0|[1-9][0-9]?)\.[0-9]{3,}",  # decimals
    r"[1-9][0-9]{0,2}(?: [0-9]{3})* 000",  # thousands with a blank
    r"[1-9][0-9]{0,2}0{4,9}",
    r"1 ?: ?[1-9][0-9]*00",  # scales
    rf"[1-9][0-9]{{2,4}}:{_YEAR}",  # standards
    r"(?:0[5-9]|1[0-9]|2[0-4])[0-5][05] ?[\-/] ?(?:0[5-9]|1[0-9]|2[0-4])[0-5][05]",  # opening hours
    rf"{_YEAR}(?: {_YEAR})+",
    rf"{_ITEM} \({_ITEM}(?:{_JOIN}{_ITEM})?",  # 2 (1939-1945)
    rf"{_PARTS} {_YEAR}",
    r"[0-9]{1,2}:[0-5][0-9]:[0-5][0-9][.,][0-9]{1,3}",  # times of a race
    r"[1-9][0-9]{0,2} 000 ?- ?[1-9][0-9]{0,2} 000",
    r"[1-9][0-9]{0,2}\.[0-9]00 ?- ?[1-9][0-9]{0,2}\.[0-9]00",
    r"[1-9][0-9]{0,2}\.[0-9]\.[0-9]{4,5}\.[0-9]{1,4}",  # versions of browsers
    r"[1-9]0(?: [1-9]0)+",
    r"[1-9]00(?:-[1-9]00)+",
    r"(?:1 )?(?:2 )?(?:3 )?4 5 6 7 8 9 10(?: 11(?: 12)?)?",
)
"""Expressions; a whole number that matches one is harmless."""

_DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPOKEN_DIGIT = rf"(?:{'|'.join(_DIGIT_WORDS)}|oh|nought)"
"""A digit in words, read out."""
_ONE = rf"(?:(?:double|triple|treble){BETWEEN}+)?{SPOKEN_DIGIT}"


def spoken(count: int) -> str:
    """An expression of so many digits in a row that are read out; longer rows hold it."""
    return rf"{_ONE}(?:{BETWEEN}+{_ONE}){{{count - 1}}}"


def counted(count: int) -> str:
    """An expression of so many digits in a row that are counted, up or down; a longer row of which all such parts match is
    counted as a whole."""
    runs = [_DIGIT_WORDS[first : first + count] for first in range(len(_DIGIT_WORDS) + 1 - count)]
    return "|".join(rf"{BETWEEN}+".join(way) for run in runs for way in (run, run[::-1]))


SPOKEN_THEN_FIGURES = rf"{SPOKEN_DIGIT}(?:{S}{SPOKEN_DIGIT}){{2}}(?:{S}[0-9]){{4}}"


_GROUP = "[OoIl]{0,3}[0-9](?:[OoIl]{0,3}[0-9Oo])*"
_LIKE_DIGIT = "[0-9OolI]"
LIKE_DIGITS = rf"{_GROUP}(?:{T}{_GROUP})*"
"""Groups of digits, for some of which letters stand that look like them."""
FEW_LIKE_DIGITS = (
    "[^OolI]*",
    "[^0-9]*(?:[0-9][^0-9]*){0,4}",
    rf"[^0-9OolI]*(?:{_LIKE_DIGIT}[^0-9OolI]*){{0,6}}",
)
"""Of these, groups without a letter, with fewer than five digits, or fewer than seven signs."""
CARD_LIKE_DIGITS = rf"{_LIKE_DIGIT}{{4}}(?:{BETWEEN}{{0,3}}{_LIKE_DIGIT}{{4}}){{3}}"
"""Four groups of four, some of them letters that look like digits."""

ISBN = r"97[89](?:[ \-]?[0-9]){10}"
"""International standard book numbers: no card and no telephone number begins so."""

_APART = BETWEEN + S
SPELT_OUT: tuple[str, ...] = (
    rf"[0-9]{{3}}{_APART}[0-9]{{3}}{_APART}[0-9]{{4}}",
    rf"0[0-9]{{2,4}}(?:{_APART}[0-9]{{2,4}}){{2,4}}",
    rf"0[0-9](?:{_APART}[0-9]{{2}}){{4}}|0[0-9]{_APART}[0-9]{{3,4}}{_APART}[0-9]{{3,4}}",
    rf"[0-9](?:{_APART}[0-9]){{6,}}",
)
"""Shapes that are read as a telephone number although commas and blanks stand between the groups."""

RISING = "".join(rf"(?:{digit}{_APART})?" for digit in range(9)) + r"[0-9]"
"""Single digits that count upwards."""

ROUND_LIST = rf"{_ROUND}(?:(?:, | ?[\-/] ?){_ROUND})*"

ORDER_WORDS = (
    "order",
    "invoice",
    "ticket",
    "reference",
    "ref",
    "item",
    "article",
    "part",
    "model",
    "serial",
    "sku",
    "batch",
    "version",
    "build",
    "release",
    "isbn",
    "isbn-10",
    "isbn-13",
    "issn",
    "doi",
    "arxiv",
    "pages",
    "bwv",
)
"""What comes before a number of a thing."""
ORDER = (
    r"(?:[1-9][0-9]{5,9}|[0-9]{4}-[0-9]{4,6}|[0-9]{4}\.[0-9]{4,5}|10\.[0-9]{4,5}/[0-9]+|[0-9]{3}-[0-9]{7}-[0-9]{7}|[0-9](?:-[0-9]{1,7}){2}-[0-9]"
    r"|[0-9]{1,3}(?:\.[0-9]{1,6}){1,4})"
)
"""Numbers of things, behind such a word: orders, books, versions."""
