"""What personal data of a fixed form looks like: one `Kind` a name, as regular expressions over plain texts.

The same expressions are read twice: `guidance.pii.automaton` makes automata of them, which forbid; `guidance.pii.search`
runs them through Python's `re`, which certifies together with the reader of `pii.reader`. All read the plain form of a
text (`pii.folding`), so digits of any script are digits here. Where in doubt a kind is too wide rather than too narrow:
its job is that nothing slips through.
"""

from __future__ import annotations

import re
from dataclasses import replace

from diffusionlm.guidance.pii.dates import ANY_IN_WORDS, ANY_NUMERIC, BORN, GUARDS, IN_WORDS, NUMERIC, OTHER_WORDS
from diffusionlm.guidance.pii.harmless import (
    BETWEEN,
    CARD_LIKE_DIGITS,
    FEW_LIKE_DIGITS,
    HARMLESS,
    ISBN,
    LIKE_DIGITS,
    ORDER,
    ORDER_WORDS,
    RISING,
    ROUND_LIST,
    SPELT_OUT,
    SPOKEN_DIGIT,
    SPOKEN_THEN_FIGURES,
    S,
    T,
    counted,
    spoken,
)
from diffusionlm.guidance.pii.kind import Kind, Pattern
from diffusionlm.guidance.pii.written_otherwise import (
    CARD_IN_MARKUP,
    FEW_DIGITS,
    IN_MARKUP,
    LICENCE,
    LICENCE_LEAD,
    MAIL_AT_PROVIDER,
    NO_LETTERS,
    NO_MARKUP,
    NO_NAME_AT_PROVIDER,
    PHONE_IN_MARKUP,
    SOCIAL_SECURITY_IN_MARKUP,
    VANITY,
    VANITY_CALLED,
)

_GAP = rf"{BETWEEN}{{1,3}}"
_D = (r"[0-9]",)
_W = (r"\w",)
_DIGIT = "[0-9]"
_ANY_CASE = re.IGNORECASE

_LEAD = rf"(?:(?:{'|'.join(ORDER_WORDS)})(?: (?:no\.?|number|id|code))?[ :#=\-]{{0,3}}|v\.? ?)"
_PLACE_LEAD = rf"(?:{_LEAD}|(?:chapter|section|clause|paragraph|article|table|figure|fig\.|appendix|§) ?)"
_NUMBER = Pattern(rf"[0-9](?:{T}[0-9]){{6,}}", whole=True, unless=(*HARMLESS, ISBN))
_PHONE = replace(_NUMBER, not_led_by=_LEAD, flags=_ANY_CASE)
_THING = replace(_NUMBER, led_by=_LEAD, unless=(*HARMLESS, ISBN, ORDER), flags=_ANY_CASE)
_SPELT_OUT = tuple(
    Pattern(core, (r"[0-9]", rf"[0-9]{BETWEEN}"), (r"[0-9]", rf"{BETWEEN}[0-9]"), unless=(ROUND_LIST, RISING, ISBN))
    for core in SPELT_OUT
)
_PLUS_PHONE = Pattern(rf"\+{S}[0-9](?:{S}[0-9]){{6,}}")
_CARD = Pattern(
    rf"[0-9](?:{S}[0-9]){{12,18}}",
    not_behind=_D,
    luhn=True,
    unless=(r"(?:(?:1[5-9]|20)[0-9]{2}(?:, |-| [0-9]{1,2}:)|[0-9]{1,2}, |[0-9]\.[0-9]{5})(?:.|\n)*", ISBN),
)
_CARD_IN_A_ROW = Pattern(
    rf"[0-9]{{4}}{T}[0-9]{{3,4}}{T}[0-9]{{3,4}}{T}[0-9]{{3,5}}", led_by=rf"[0-9]{BETWEEN}{{1,8}}", not_behind=_D
)


def _spoken(count: int) -> Pattern:
    """Digits read out, but not those of whoever counts up or down."""
    unless = (counted(count),) if count <= 10 else ()
    return Pattern(spoken(count), (r"[^\W_]",), (r"[^\W_]",), unless=unless, flags=_ANY_CASE)


_CALL = (
    r"(?:(?:tele)?phone|mobile|cell|number|call|dial|ring|text|tel)\.?(?: (?:me|us|him|her|them|is|on|at|to|now|my|the)){0,3}"
    r"[ :,]{1,3}"
)
_PHONE_IN_DISGUISE = (
    _spoken(7),
    replace(_spoken(7), unless=(), led_by=_CALL),
    Pattern(SPOKEN_THEN_FIGURES, _W, flags=_ANY_CASE),
    Pattern(LIKE_DIGITS, _W, _W, unless=FEW_LIKE_DIGITS),
)
_CARD_IN_DISGUISE = (
    _spoken(13),
    Pattern(CARD_LIKE_DIGITS, _W, _W, unless=("[^OolI]*", "[^0-9]*(?:[0-9][^0-9]*){0,4}")),
)
_IN_MARKUP = {
    name: Pattern(core, (r"[\w.,]",), _W, unless=(NO_MARKUP,), forbids=IN_MARKUP)
    for name, core in (("card", CARD_IN_MARKUP), ("phone", PHONE_IN_MARKUP), ("national_id", SOCIAL_SECURITY_IN_MARKUP))
}
_VANITY = (
    *(Pattern(core, _W, _W, unless=(NO_LETTERS,)) for core in VANITY),
    Pattern(VANITY_CALLED, _W, _W, led_by=rf"(?i:{_CALL})", unless=(NO_LETTERS,)),
)
_NUMBER_SIGNS = rf"[0-9]|(?i:{SPOKEN_DIGIT})"
ANY_CARD = Kind(
    "card numbers",
    (replace(_CARD, luhn=False, unless=()), _CARD_IN_A_ROW, *_CARD_IN_DISGUISE, _IN_MARKUP["card"]),
    (Pattern(rf"[0-9](?:{S}[0-9]){{12}}"),),
)
"""Everything that looks like a card number, whatever its sum."""


def _digits(count: int) -> Pattern:
    return Pattern(rf"[0-9](?:{S}[0-9]){{{count - 1}}}")


_HEX = r"[0-9A-Fa-f]"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_DOT = r"(?: ?[\[({] ?(?:\.|dot) ?[\])}] ?|\.)"
_TLD = r"(?:com|Com|net|Net|org|Org|info|edu|gov|io|co\.uk|uk|de|fr|es|it|nl|eu|biz|me|ru|ch|at|us)"
_PLAIN_TLD = r"(?:com|net|org|info|edu|gov|co\.uk)"  # no word of a sentence, where blanks stand around the dot
_AT = r"(?: ?[\[({<] ?(?:at|@) ?[\])}>] ?| ?@ ?)"
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA"
    "|PR|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY"
)
_STATE_NAMES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Calif\\.|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois"
    "|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana"
    "|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|Carolina|Dakota|Ohio|Oklahoma|Oregon|Pennsylvania"
    "|Rhode Island|Tennessee|Texas|Utah|Vermont|Virginia|Washington|Wisconsin|Wyoming"
)
_ISO_UNITS = (
    "AD|BC|CE|UK|US|EU|UN|TV|PM|AM|KM|KG|ML|MG|MM|CM|PS|HP|GB|MB|KB|TB|CC|CV|DJ|IT|PC|ID|OK|NO|IN|ON|AT|TO|OF|OR|BY"
)

KINDS: dict[str, Kind] = {
    "email": Kind(
        "e-mail addresses",
        (
            Pattern(r"[\w+%](?:[\w.+%'-]*)@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}"),
            # the near misses that a model writes instead: "ann!@example.org", "ann @example.org"
            Pattern(r"[^\s@(\[{\"']@+[^\s@]"),
            Pattern(r"@[^\s@]+\.[^\W\d_]{2}"),
            # and what a person writes instead: "ann [at] example.org", "ann at example dot org"
            Pattern(rf"\w{_AT}[\w-]+{_DOT}[a-z]{{2}}", flags=_ANY_CASE),
            Pattern(r"\w ?[\[({<] ?at ?[\])}>] ?\w", flags=_ANY_CASE),
            Pattern(rf"\w at [\w-]+ (?:dot|\.) {_PLAIN_TLD}", not_behind=_W, flags=_ANY_CASE),
            Pattern(rf"\w\s?@\s?[\w-]+ ?(?:dot|\.) ?{_PLAIN_TLD}", not_behind=_W, flags=_ANY_CASE),
            Pattern(rf"\w[_\-|/]at[_\-|/][\w-]+(?:[_\-|/]dot[_\-|/]|\.){_TLD}", not_behind=_W, flags=_ANY_CASE),
            Pattern(r"\w(?:%40|&#64;|&commat;)[\w-]+(?:\.|%2e)[a-z]{2}", flags=_ANY_CASE),
            Pattern(r"\w \w @ \w \w"),
            Pattern(MAIL_AT_PROVIDER, (r"[\w.+\-]",), _W, unless=(NO_NAME_AT_PROVIDER,), flags=_ANY_CASE),
        ),
        (Pattern(r"[^\s@(\[{\"']@+[^\s@]"), Pattern(r"@[^\s@]+\.[^\W\d_]{2}")),
        signs=r"@|[\[({<] ?[aA][tT]|[ _\-|/][aA][tT][ _\-|/]|%40|&",
    ),
    "phone": Kind(
        "telephone numbers",
        (_PHONE, _THING, _PLUS_PHONE, *_SPELT_OUT, *_PHONE_IN_DISGUISE, *_VANITY, _IN_MARKUP["phone"]),
        (_digits(7),),
        signs=_NUMBER_SIGNS,
    ),
    "card": Kind(
        "card numbers",
        (_CARD, _CARD_IN_A_ROW, *_CARD_IN_DISGUISE, _IN_MARKUP["card"]),
        (_digits(13),),
        signs=_NUMBER_SIGNS,
    ),
    "iban": Kind(
        "bank accounts (IBAN)",
        (
            Pattern(
                rf"[A-Z]{{2}}[0-9]{{2}}(?:{BETWEEN}{{0,3}}[A-Z0-9]){{11,}}",
                not_before=_W,
                unless=(r"[A-Z]{2}[0-9]{2}[^0-9]*(?:[0-9][^0-9]*){0,3}",),
            ),
            Pattern(
                rf"[A-Z]{{2}}{BETWEEN}{{0,3}}[0-9]{{2}}(?:{_GAP}[A-Z0-9]{{4}}){{2,}}{_GAP}[A-Z0-9]{{3,4}}",
                not_before=_W,
                unless=(r"[A-Z]{2}[^0-9]*[0-9]{2}[^0-9]*(?:[0-9][^0-9]*){0,5}",),
                flags=_ANY_CASE,
            ),
            Pattern(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,}", not_before=_W),
            Pattern(r"(?:IBAN|iban)[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,}"),
            Pattern(
                rf"[A-Z]{{2}}{_GAP}[0-9]{{2}}{BETWEEN}{{0,3}}(?:[A-Z]{{4}}{BETWEEN}{{0,3}})?[0-9](?:{BETWEEN}{{0,3}}[0-9]){{9}}",
                not_before=_W,
            ),
            Pattern(r"[A-Z] [A-Z] [0-9] [0-9](?: [A-Z0-9]){11}", not_before=_W),
        ),
        (_digits(9),),
        signs=_DIGIT,
    ),
    "national_id": Kind(
        "social security and national identity numbers",
        (
            Pattern(rf"[0-9]{{3}}{_GAP}[0-9]{{2}}{_GAP}[0-9]{{4}}", _D, _D),  # US SSN
            Pattern(rf"[0-9]{{5}}{_GAP}[0-9]{{4}}", (r"[0-9]", r"[0-9][.,]"), _D, unless=HARMLESS),
            # nine to eleven digits: SSN, SIN, BSN, PESEL, tax numbers; in threes: UK NHS, SIN, CPF, TFN
            Pattern(
                r"[0-9]{9,12}",
                (r"[0-9]", r"[0-9][.,]"),
                _D,
                not_led_by=_LEAD,
                unless=HARMLESS,
                flags=_ANY_CASE,
            ),
            Pattern(
                r"[0-9]{9,12}",
                (r"[0-9]", r"[0-9][.,]"),
                _D,
                led_by=_LEAD,
                unless=(*HARMLESS, ORDER),
                flags=_ANY_CASE,
            ),
            Pattern(  # India
                rf"[2-9][0-9]{{3}}{_GAP}[0-9]{{4}}{_GAP}[0-9]{{4}}", _D, _D, unless=(r"(?:1[5-9]|20)[0-9]{2}.*",)
            ),
            replace(_spoken(9), unless=()),  # with the excuse of counting there are too many states
            Pattern(
                rf"[0-9]{{3}}{_GAP}[0-9]{{3}}{_GAP}[0-9]{{3,4}}",
                (r"[0-9]", r"[0-9],", r"[0-9]\."),
                (r"[0-9]", r",[0-9]{3}"),
                unless=(
                    *HARMLESS,
                    r"[1-9][0-9]{0,2}(?:,[0-9]{3})+",
                    r"[1-9][0-9]{2}(?:, [1-9][0-9]{2}){2}",
                    r"000(?: 000)+",
                    r"[1-9][0-9]{2}\.[0-9]00 ?- ?[1-9][0-9]{2}",
                ),
            ),
            Pattern(r"(?:19|20)?[0-9]{6}(?:[+\-_./~:*]|[Aa])[0-9]{3}[0-9A-Za-z]", _D, _W, unless=HARMLESS),  # Nordic
            Pattern(r"[0-9]{6}-[1-8][0-9]{6}", _D, _D),  # Korea
            Pattern(r"[A-Za-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]", _W, _W),  # UK NINO
            Pattern(
                rf"[A-Z]{{2}}{BETWEEN}{{0,3}}[0-9]{{2}}{_GAP}[0-9]{{2}}{_GAP}[0-9]{{2}}{BETWEEN}{{0,3}}[A-D]", _W, _W
            ),
            Pattern(r"[A-Za-z]{2}(?:[\-./_][0-9]{2}){3}[\-./_][A-Da-d]", _W, _W),
            Pattern(rf"(?:[0-9]{{8}}|[XYZxyz]{BETWEEN}{{0,1}}[0-9]{{7}}){BETWEEN}{{0,1}}[A-Za-z]", _W, _W),  # Spain
            Pattern(r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}[\- ]?[A-Za-z]", _W, _W),
            Pattern(  # Italy
                rf"[A-Za-z]{{6}}{BETWEEN}{{0,1}}[0-9]{{2}}[A-Za-z][0-9]{{2}}{BETWEEN}{{0,1}}[A-Za-z][0-9]{{3}}[A-Za-z]",
                _W,
                _W,
            ),
            Pattern(r"[A-Za-z]{5}[0-9]{4}[A-Za-z]", _W, _W),  # India, PAN
            Pattern(  # France
                rf"[1-8]{BETWEEN}{{0,1}}[0-9]{{2}}{BETWEEN}{{0,1}}[0-9]{{2}}{BETWEEN}{{0,1}}[0-9]{{2}}{BETWEEN}{{0,1}}"
                rf"[0-9]{{3}}{BETWEEN}{{0,1}}[0-9]{{3}}(?:{BETWEEN}{{0,1}}[0-9]{{2}})?",
                (r"[0-9]", r"[0-9] "),
                _D,
                unless=(r"[0-9]\.[0-9]+",),
            ),
            Pattern(r"[0-9]{17}[0-9Xx]", _D, _D),  # China
            Pattern(r"[A-Za-z][0-9]{7,8}[A-Za-z]?", _W, _W),  # passports, Singapore
            Pattern(
                r"[A-Z]{0,2}[0-9][A-Z0-9]{5,8}",
                _W,
                _W,
                led_by=r"passport(?: (?:no\.?|nr\.?|number))?(?: is)?[ :#]{1,3}",
                flags=_ANY_CASE,
            ),
            Pattern(LICENCE, led_by=LICENCE_LEAD, unless=(FEW_DIGITS,), flags=_ANY_CASE),
            _IN_MARKUP["national_id"],
        ),
        (_digits(7),),
        signs=_NUMBER_SIGNS,
    ),
    "ip": Kind(
        "IP addresses",
        (
            Pattern(rf"(?:{_OCTET}{_DOT}){{3}}{_OCTET}", _W, _W, not_led_by=_PLACE_LEAD, flags=_ANY_CASE),
            Pattern(
                r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", _D, _D, not_led_by=_PLACE_LEAD, flags=_ANY_CASE
            ),  # near misses: "429.3.04.2"
            Pattern(rf"{_OCTET}(?:(?: dot | \. ?){_OCTET}){{3}}", _W, _W, not_led_by=_PLACE_LEAD, flags=_ANY_CASE),
            Pattern(rf"(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}", _W),
            Pattern(rf"(?:{_HEX}{{1,4}}:)+(?::{_HEX}{{1,4}})+", _W, unless=(r"[A-Za-z]{1,4}::[A-Za-z]{1,4}",)),
            Pattern(rf"(?:{_HEX}{{1,4}}:)+{_HEX}{{1,4}}::", _W, (r"[\w:]",)),
            Pattern(rf"(?:{_HEX}{{4}}|[0-9]{_HEX}{{0,3}})::", (r"[\w:]",), (r"[\w:]",)),
            Pattern(rf"::{_HEX}{{1,4}}(?::{_HEX}{{1,4}})+", (r"[\w:]",)),
            Pattern(rf"::{_HEX}{{0,3}}[0-9]{_HEX}{{0,3}}", (r"[\w:]",), (r"\w",)),
        ),
        signs=r"[0-9:]",
    ),
    "mac": Kind(
        "hardware (MAC) addresses",
        (
            Pattern(rf"{_HEX}{{2}}(?:[^\w,]{_HEX}{{2}}){{5}}", _W, _W, unless=(r"(?:[A-Za-z]|[^\w:.\-])*", r"[0-9 ]*")),
            Pattern(rf"{_HEX}{{12}}", _W, _W, unless=(r"[A-Fa-f]*(?:[0-9][A-Fa-f]*){0,2}", r"[0-9]*")),
            Pattern(rf"{_HEX}{{2}}(?:_{_HEX}{{2}}){{5}}", _W, _W, unless=(r"[A-Za-z_]*",)),
            Pattern(rf"{_HEX}{{4}}[.:\-]{_HEX}{{4}}[.:\-]{_HEX}{{4}}", _W, _W, unless=(r"[A-Za-z\W]*", r"[0-9\-]*")),
        ),
        signs=rf"[0-9]|{_HEX}[:.\-]",
    ),
    "url": Kind(
        "addresses with credentials",
        (
            Pattern(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s/@:]*:[^\s/@]*@"),
            Pattern(
                r"[?&#;](?:[a-z0-9]{1,20}[_.\-])?(?:token|key|api[_\-]?key|auth|password|passwd|pwd|pass|secret|session|(?:j?session)?id"
                r"|sig|signature|credential)s?=[^\s&#]+",
                flags=_ANY_CASE,
                unless=(r".(?i:id)=.*",),
            ),
        ),
        signs=r"[:=]",
    ),
    "web": Kind(
        "web addresses",
        (
            Pattern(r"(?:https?://|www\.)[\w-]+\.[\w.-]*[^\W\d_]", flags=_ANY_CASE),
            Pattern(rf"[\w-]+\.{_TLD}(?:/[^\s]+)?", (r"[\w@]",), (r"[\w@]",)),
            # whatever the top-level domain
            Pattern(r"[\w\-]+\.(?:[^\W\d_A-Z]{2,}|[A-Z]{2,})", (r"[\w@\-]",), unless=(r"(?:St|Mr|Dr|Mrs|No)\..*",)),
            # near misses: ".../...com"
            Pattern(r"[\w\-]\.{2,}(?:com|net|org|info|edu|gov)", not_behind=_W),
            Pattern(r"[^\s\w@]\.(?:com|net|org|info|edu|gov)", not_behind=_W),
            Pattern(rf"\w(?: ?[\[({{] ?(?:\.|dot) ?[\])}}] ?| dot | \. ?){_PLAIN_TLD}", not_behind=_W, flags=_ANY_CASE),
        ),
        signs=r"\.|[dD][oO][tT]",
    ),
    "license_plate": Kind(
        "number plates",  # United Kingdom
        (
            Pattern(rf"[A-Z]{{2}}[0-9]{{2}}{BETWEEN}{{0,3}}[A-Z]{{3}}", _W, _W),
            Pattern(r"[A-Za-z]{2}[0-9]{2}[A-Za-z]{3}", _W, _W),
            Pattern(r"[A-Za-z]{2}[\-._/][0-9]{2}[\-._/][A-Za-z]{3}|[a-z]{2}[0-9]{2}[ \-._/][a-z]{3}", _W, _W),
            Pattern(
                rf"[A-Z][0-9]{{3}}{BETWEEN}{{0,1}}[A-Z]{{3}}|[A-Z]{{3}}{BETWEEN}{{0,1}}[0-9]{{3}}{BETWEEN}{{0,1}}[A-Z]",
                _W,
                _W,
            ),
        ),
        signs=_DIGIT,
    ),
    "birth_date": Kind(
        "dates of birth",
        (
            *(Pattern(core, _D, _D, not_led_by=r"[Vv](?:ersion)?[ .]?") for core in NUMERIC),
            *(Pattern(core, _W, _W, flags=_ANY_CASE) for core in IN_WORDS),
            *(Pattern(core, _W, _W, flags=_ANY_CASE) for core in OTHER_WORDS),
            Pattern(ANY_NUMERIC, _D, _D, led_by=BORN, flags=_ANY_CASE),
            Pattern(ANY_IN_WORDS, _W, _W, led_by=BORN, flags=_ANY_CASE),
        ),
        tuple(Pattern(core, flags=_ANY_CASE) for core in GUARDS),
        signs=r"[0-9]|(?i:teen|ten|twelve|eleven|thousand|th|first|second|third|one|two|three|four|five|six|seven|eight|nine|ty)",
    ),
    "postal_code": Kind(
        "postal codes",
        (
            Pattern(  # United Kingdom
                rf"[A-Za-z]{{1,2}}[0-9][A-Za-z0-9]?{BETWEEN}{{0,2}}[0-9][ABD-HJLNP-UW-Zabd-hjlnp-uw-z]{{2}}",
                _W,
                _W,
                unless=(r".*(?:1st|2nd|3rd|[0-9]th)",),
            ),
            Pattern(rf"[A-Za-z][0-9][A-Za-z]{BETWEEN}{{0,2}}[0-9][A-Za-z][0-9]", _W, _W),  # Canada
            Pattern(rf"(?:{_STATES}){BETWEEN}{{1,2}}[0-9]{{5}}(?:-[0-9]{{4}})?", _W, _D),  # United States
            Pattern(r"[0-9]{5}-[0-9]{3,4}", (r"[0-9]", r"[£$€]"), _D, unless=HARMLESS),  # ZIP+4, Brazil
            Pattern(r"[1-9][0-9]{3} ?[A-Z]{2}", (r"\w", r"[£$€.,]"), _W, unless=(rf"[0-9]* ?(?:{_ISO_UNITS})",)),
            # before the name of a town: much of the continent; a year is none, unless a house number stands before it
            Pattern(
                r"[0-9]{4,5} [A-Z][a-z]",
                (r"[\w.,£$€#]",),
                not_led_by=r"(?i:in|within|of|by|since|from|to|until|till|for|and|the|around|after|before|during|circa|year) ",
                unless=(r"(?:19|20)[0-9]{2} ..",),
                flags=0,
            ),
            Pattern(r"(?:19|20)[0-9]{2} [A-Z][a-z]", led_by=r"[a-z] [0-9]{1,3}[a-z]?, ?"),
            Pattern(
                r"[0-9]{4,6}",
                _W,
                _W,
                led_by=r"(?:zip|post|postal|area)[ -]?code(?: is)?[ :=]{1,3}|zip[ :=]{1,3}|postcode(?: is)?[ :=]{1,3}|〒 ?",
                flags=_ANY_CASE,
            ),
            Pattern(rf"(?:{_STATE_NAMES}),? [0-9]{{5}}", _W, _D),
            Pattern(rf"(?:NSW|VIC|QLD|TAS|ACT){BETWEEN}{{1,2}}[0-9]{{4}}", _W, _D),
            Pattern(r"[1-9][0-9]{5} [A-Z][a-z]{2}", (r"[\w.,£$€#]",), not_led_by=_LEAD),
        ),
        signs=_DIGIT,
    ),
}
"""Every kind, by name."""

WIDE = ("phone", "web")
"""Kinds that other kinds are special cases of: a place of both is called by the other's name."""

SIGNS = Pattern(r"[0-9@:\[({<]")
"""What every text of the structured kinds holds one of, if it is to be seen by a stranger: see `pii.reader`."""
