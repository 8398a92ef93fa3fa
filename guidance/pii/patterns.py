"""What personal data of a fixed form looks like: one `Kind` a name, as regular expressions.

The same expressions are read twice: `guidance.pii.automaton` makes automata of them, which forbid; `guidance.pii.search`
runs them through Python's `re`, which certifies. Digits are ASCII digits. Where in doubt a kind is too wide rather than
too narrow: its job is that nothing slips through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SEPARATOR = r"[ .\-/\u00a0\u2009\u202f\u2010-\u2015]"
"""One character that may stand between groups of digits: space, dot, hyphen, slash, no-break spaces, dashes."""
_BETWEEN = SEPARATOR[:-1] + r"()]{0,3}"
"""What may stand between the digits of a telephone number: a model that may not write "555-0199" would write "555--0199"."""


@dataclass(frozen=True)
class Pattern:
    """What is looked for.

    Attributes:
        core: regular expression of the texts that count.
        not_before: expressions of one width each; the core does not count right behind one of them.
        not_behind: expressions; the core does not count right before one of them.
        only_behind: expression of one width; the core counts only right behind it.
        unless: the core does not count if all of it matches one of these.
        luhn: the core does not count unless its digits have a valid Luhn sum.
    """

    core: str
    not_before: tuple[str, ...] = ()
    not_behind: tuple[str, ...] = ()
    only_behind: str = ""
    unless: tuple[str, ...] = ()
    luhn: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of personal data.

    Attributes:
        title: in a user's words.
        patterns: any of these.
        guards: simpler and wider, for every step of sampling, where the patterns themselves cost too much.
    """

    title: str
    patterns: tuple[Pattern, ...]
    guards: tuple[Pattern, ...] = ()


_DAY, _MONTH = r"(?:0?[1-9]|[12][0-9]|3[01])", r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19|20)[0-9]{2}"
_BIRTH_YEAR = r"(?:19[0-9]{2}|20[01][0-9])"
_SHORT_YEAR = r"[013-9][0-9]"
_DASH = r"[./\-\u2010-\u2015]"
_NOT_PHONES = (
    rf"[0-3]?[0-9]{_DASH}[0-3]?[0-9]{_DASH}{_YEAR}",  # dates are no telephone numbers
    rf"{_YEAR}{_DASH}[01]?[0-9]{_DASH}[0-3]?[0-9]",
    rf"{_YEAR} ?[/\-\u2010-\u2015] ?{_YEAR}",  # years from, to
)
# The first letters of the months in English, German, French, Spanish, Italian, Portuguese and Dutch.
_MONTHS = (
    r"(?:[Jj]an|[Ff][eé][bv]|[Mm]ar|[Mm]är|[Mm]rt|[Mm]aa|[Aa][pbv]r|[Mm]a[iyjg]|[Mm]ei|[Jj]u[nlio]|[Gg]iu|[Ll]ug|[Aa]u[gt]"
    r"|[Aa]oû|[Aa]go|[Ss]e[pt]|[Oo][ckut][ot]|[Nn]ov|[Dd][eéi][cz]|[Ee]ne|[Gg]en)"
)
_HEX = r"[0-9A-Fa-f]"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

_PHONE = Pattern(
    rf"[0-9](?:{_BETWEEN}[0-9]){{6,}}",
    not_before=(r"[0-9]", rf"[0-9]{SEPARATOR}"),
    not_behind=(r"[0-9]", rf"{SEPARATOR}[0-9]"),
    unless=_NOT_PHONES,
)
_PLUS_PHONE = Pattern(rf"\+{SEPARATOR}?\(?[0-9](?:\)?{SEPARATOR}?\(?[0-9]){{6,}}")
_CARD = Pattern(
    rf"[0-9](?:{SEPARATOR}?[0-9]){{12,18}}",
    not_before=(r"[0-9]", rf"[0-9]{SEPARATOR}"),
    not_behind=(r"[0-9]",),
    luhn=True,
)
_CARD_IN_A_ROW = Pattern(
    rf"[0-9]{{4}}{SEPARATOR}?[0-9]{{3,4}}{SEPARATOR}?[0-9]{{3,4}}{SEPARATOR}?[0-9]{{3,5}}",
    only_behind=rf"[0-9]{SEPARATOR}",
    not_behind=(r"[0-9]",),
)
ANY_CARD = Kind(
    "card numbers",
    (replace(_CARD, luhn=False), _CARD_IN_A_ROW),
    (Pattern(rf"[0-9](?:{SEPARATOR}?[0-9]){{12}}"),),
)
"""Everything that looks like a card number, whatever its sum."""


def _digits(count: int) -> Pattern:
    return Pattern(rf"[0-9](?:{SEPARATOR}?[0-9]){{{count - 1}}}")


_GUARD_DATES = (
    Pattern(rf"[0-9]{_DASH}[0-9]{{1,2}}{_DASH}[0-9]{{2}}"),
    Pattern(r"[0-9](?:[a-z.]{1,2})? [A-Za-z][A-Za-zéûä]+[ .,]+(?:19|20[01])"),
    Pattern(r"[A-Z][a-z]+\.? [0-9]{1,2}(?:[a-z]{2})?,? (?:19|20[01])"),
)

KINDS: dict[str, Kind] = {
    "email": Kind(
        "e-mail addresses",
        (
            Pattern(r"[\w.+%'-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}"),
            # the near misses that a model writes instead: "ann!@example.org", "ann @example.org"
            Pattern(r"[^\s@]@+[^\s@]"),
            Pattern(r"@[^\s@]+\.[^\W\d_]{2}"),
        ),
        (Pattern(r"[^\s@]@+[^\s@]"), Pattern(r"@[^\s@]+\.[^\W\d_]{2}")),
    ),
    "phone": Kind("telephone numbers", (_PHONE, _PLUS_PHONE), (Pattern(rf"[0-9](?:{_BETWEEN}[0-9]){{6}}"),)),
    "card": Kind("card numbers", (_CARD, _CARD_IN_A_ROW), (_digits(13),)),
    "iban": Kind(
        "bank accounts (IBAN)",
        (
            Pattern(r"[A-Z]{2}[0-9]{2}(?:[ \-]?[A-Z0-9]{4}){2}[ \-]?[A-Z0-9]{3,}", not_before=(r"\w",)),
            Pattern(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,}", not_before=(r"\w",)),
        ),
        (_digits(9),),
    ),
    "national_id": Kind(
        "social security and national identity numbers",
        (
            Pattern(rf"[0-9]{{3}}{SEPARATOR}[0-9]{{2}}{SEPARATOR}[0-9]{{4}}", (r"[0-9]",), (r"[0-9]",)),  # US SSN
            Pattern(rf"[0-9]{{5}}{SEPARATOR}[0-9]{{4}}", (r"[0-9]",), (r"[0-9]",)),
            # nine to eleven digits: SSN, SIN, BSN, PESEL, tax numbers; in threes: UK NHS, SIN, CPF, TFN
            Pattern(r"[0-9]{9,11}", (r"[0-9]",), (r"[0-9]",)),
            Pattern(rf"[0-9]{{3}}{SEPARATOR}[0-9]{{3}}{SEPARATOR}[0-9]{{3,4}}", (r"[0-9]",), (r"[0-9]",)),
            Pattern(r"[0-9]{6}[+\-A][0-9]{3}[0-9A-Za-z]", (r"[0-9]",), (r"\w",)),  # Nordic
            Pattern(r"[A-Za-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]", (r"\w",), (r"\w",)),  # UK NINO
            Pattern(r"(?:[0-9]{8}|[XYZxyz][ \-]?[0-9]{7})[ \-]?[A-Za-z]", (r"\w",), (r"\w",)),  # Spain
            Pattern(r"[A-Za-z]{6}[0-9]{2}[A-Za-z][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z]", (r"\w",), (r"\w",)),  # Italy
            Pattern(r"[A-Za-z]{5}[0-9]{4}[A-Za-z]", (r"\w",), (r"\w",)),  # India, PAN
            Pattern(r"[1-8] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3}", (r"[0-9]", r"[0-9] ")),  # France
            Pattern(r"[0-9]{17}[0-9Xx]", (r"[0-9]",), (r"[0-9]",)),  # China
            Pattern(r"[A-Za-z][0-9]{7,8}[A-Za-z]?", (r"\w",), (r"\w",)),  # passports, Singapore
        ),
        (_digits(7),),
    ),
    "ip": Kind(
        "IP addresses",
        (
            Pattern(rf"(?:{_OCTET}\.){{3}}{_OCTET}", (r"\w",), (r"\w",)),
            Pattern(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", (r"[0-9]",), (r"[0-9]",)),  # near misses: "429.3.04.2"
            Pattern(rf"(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}", (r"\w",)),
            Pattern(rf"(?:{_HEX}{{1,4}}:)+(?::{_HEX}{{1,4}})+", (r"\w",)),
            Pattern(rf"(?:{_HEX}{{1,4}}:){{3,7}}:", (r"\w",)),
            Pattern(rf"::{_HEX}{{1,4}}(?::{_HEX}{{1,4}})+", (r"[\w:]",)),
        ),
    ),
    "mac": Kind(
        "hardware (MAC) addresses",
        (
            Pattern(rf"{_HEX}{{2}}(?:[:\-]{_HEX}{{2}}){{5}}", (r"\w",), (r"\w",)),
            Pattern(rf"{_HEX}{{4}}\.{_HEX}{{4}}\.{_HEX}{{4}}", (r"\w",), (r"\w",)),
        ),
    ),
    "url": Kind(
        "addresses with credentials",
        (
            Pattern(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s/@:]*:[^\s/@]*@"),
            Pattern(r"[?&](?:[Tt]oken|[Kk]ey|[Aa]pi_?key|[Pp]assword|[Pp]asswd|[Pp]wd|[Ss]ecret)=[^\s&#]+"),
        ),
    ),
    "web": Kind(
        "web addresses",
        (
            Pattern(r"(?:[Hh][Tt][Tt][Pp][Ss]?://|[Ww][Ww][Ww]\.)[\w-]+\.[\w.-]*[^\W\d_]"),
            Pattern(
                r"[\w-]+\.(?:com|net|org|info|edu|gov|io|co\.uk|uk|de|fr|es|it|nl|eu)(?:/[^\s]+)?",
                (r"[\w@]",),
                (r"[\w@]",),
            ),
            Pattern(r"[\w\-]+\.+[^\W\d_]{2,}", (r"[\w@\-]",)),  # whatever the top-level domain
            Pattern(r"[^\s\w@]\.(?:com|net|org|info|edu|gov)", not_behind=(r"\w",)),  # near misses: ".../...com"
        ),
    ),
    "license_plate": Kind(
        "number plates",
        (Pattern(r"[A-Z]{2}[0-9]{2} ?[A-Z]{3}", (r"\w",), (r"\w",)),),  # United Kingdom
    ),
    "birth_date": Kind(
        "dates of birth",
        (
            Pattern(rf"{_DAY}{_DASH}{_DAY}{_DASH}(?:{_BIRTH_YEAR}|{_SHORT_YEAR})", (r"[0-9]",), (r"[0-9]",)),
            Pattern(rf"{_BIRTH_YEAR}{_DASH}{_MONTH}{_DASH}{_DAY}", (r"[0-9]",), (r"[0-9]",)),
            Pattern(
                rf"{_DAY}(?:st|nd|rd|th|er|\.)?(?: of| de)? ?{_MONTHS}\w*\.?,?(?: of| de)? ?{_BIRTH_YEAR}",
                (r"[0-9]",),
                (r"[0-9]",),
            ),
            Pattern(rf"{_MONTHS}\w*\.? {_DAY}(?:st|nd|rd|th)?,? {_BIRTH_YEAR}", (r"\w",), (r"[0-9]",)),
        ),
        _GUARD_DATES,
    ),
    "postal_code": Kind(
        "postal codes",
        (
            Pattern(r"[A-Za-z]{1,2}[0-9][A-Za-z0-9]? ?[0-9][A-Za-z]{2}", (r"\w",), (r"\w",)),  # United Kingdom
            Pattern(r"[A-Za-z][0-9][A-Za-z][ \-]?[0-9][A-Za-z][0-9]", (r"\w",), (r"\w",)),  # Canada
            Pattern(r"[A-Z]{2},? [0-9]{5}(?:-[0-9]{4})?", (r"\w",), (r"[0-9]",)),  # United States, with the state
            Pattern(r"[0-9]{5}-[0-9]{3,4}", (r"[0-9]",), (r"[0-9]",)),  # ZIP+4, Brazil
            Pattern(r"[1-9][0-9]{3} ?[A-Z]{2}", (r"\w",), (r"\w",)),  # Netherlands
            Pattern(r"[0-9]{4,5} [A-Z][a-zà-ÿ]", (r"[\w.,]",)),  # before the name of a town: much of the continent
        ),
    ),
}
"""Every kind, by name."""

WIDE = ("phone", "web")
"""Kinds that other kinds are special cases of: a place of both is called by the other's name."""
