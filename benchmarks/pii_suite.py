"""Invented personal data and harmless look-alikes, generated from a seed: what `bench_pii_reader` and the tests read.

Nothing here knows the patterns of the library. A positive is a datum that a stranger would recognise (a number with its
check digit, an address, a date of birth) in a sentence, and in one of many disguises: other separators, digits of other
scripts, look-alike letters, characters without width. A negative is a sentence with numbers or signs that are nobody's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

SEPARATORS = (
    " ",
    "-",
    ".",
    "/",
    "_",
    "\u2010",
    "\u2011",
    "\u2012",
    "\u2013",
    "\u2014",
    "\u2212",
    "\u00b7",
    "\u2022",
    "\t",
    "\u00a0",
    "\u2009",
    "\u202f",
    "\u3000",
    "\n",
    "*",
    "~",
    "|",
    " - ",
    " / ",
    "--",
    "\u200b ",
    ",",
    "+",
    ":",
)
ZEROS = "\u0660\u06f0\u0966\u09e6\u0e50\u0ed0\uff10\U0001d7ce\U0001d7d8\u1040\u17e0\u0be6"
"""The digit zero of some scripts; the other nine follow it."""
WIDTHLESS = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad")
LOOK_ALIKE = str.maketrans(
    "aceopxyiABCEHKMOPTX",
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0410\u0412\u0421\u0415\u041d\u041a\u041c\u041e\u0420\u0422\u0425",
)
FRAMES = (
    "Call me: {}.",
    "It is {}, as I said.",
    "My number is {}",
    "{} is what they wrote down.",
    "You can use {} for that!",
    "The form says ({}) at the top.",
    "she gave me {} and left",
)
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
FIRST, LAST = (
    ["ann", "bob", "jane", "omar", "lucia", "kofi", "mei", "pavel"],
    ["lee", "smith", "garcia", "novak", "mensah", "chen", "brown"],
)


@dataclass(frozen=True)
class Case:
    """One text of the suite.

    Attributes:
        text: the sentence.
        kind: of what is in it, or what it resembles.
        disguise: how it is written.
        datum: (start, end) of it; None in a harmless text.
    """

    text: str
    kind: str
    disguise: str
    datum: tuple[int, int] | None


Draw = random.Random


def _digits(draw: Draw, count: int) -> str:
    return "".join(draw.choices("0123456789", k=count))


def _card(draw: Draw) -> list[str]:
    start, shape = draw.choice([("4", (4, 4, 4, 4)), ("5" + draw.choice("12345"), (4, 4, 4, 4)), ("37", (4, 6, 5))])
    digits = start + _digits(draw, sum(shape) - 1 - len(start))
    total = sum(sum(divmod(int(d) * (2 - n % 2), 10)) for n, d in enumerate(reversed(digits)))
    digits += str(-total % 10)
    return _cut(digits, shape)


def _cut(text: str, shape: tuple[int, ...]) -> list[str]:
    out = []
    for size in shape:
        out.append(text[:size])
        text = text[size:]
    return out


def _phone(draw: Draw) -> list[str]:
    way = draw.randrange(5)
    if way == 0:
        return ["020", str(draw.randint(7000, 8999)), _digits(draw, 4)]
    if way == 1:
        return [str(draw.randint(201, 989)), str(draw.randint(201, 989)), _digits(draw, 3) + draw.choice("1234567")]
    if way == 2:
        return ["0" + str(draw.randint(1, 7)), *(f"{draw.randint(11, 98)}" for _ in range(4))]
    if way == 3:
        return ["07" + _digits(draw, 3), str(draw.randint(100, 999)), _digits(draw, 3)]
    return [
        "+" + draw.choice(["44", "1", "49", "33"]),
        str(draw.randint(20, 999)),
        str(draw.randint(200, 999)),
        _digits(draw, 4),
    ]


def _iban(draw: Draw) -> list[str]:
    country, size = draw.choice([("GB", 14), ("DE", 18), ("NL", 10)])
    bank = {"GB": "NWBK", "NL": "ABNA", "DE": ""}[country]
    account = bank + _digits(draw, size)
    check = 98 - int("".join(str(int(c, 36)) for c in account + country + "00")) % 97
    whole = f"{country}{check:02d}{account}"
    return [whole[i : i + 4] for i in range(0, len(whole), 4)]


def _ssn(draw: Draw) -> list[str]:
    return [str(draw.randint(100, 660)), f"{draw.randint(1, 99):02d}", str(draw.randint(1000, 9999))]


def _email(draw: Draw) -> list[str]:
    host = draw.choice(["example.org", "mail.example.com", "posteo.example.de", "thepub.co.uk"])
    return [f"{draw.choice(FIRST)}{draw.choice(['.', '_', ''])}{draw.choice(LAST)}@{host}"]


def _ip(draw: Draw) -> list[str]:
    if draw.random() < 0.5:
        return [".".join(str(draw.randint(11, 254)) for _ in range(4))]
    part = [f"{draw.randint(256, 65535):x}" for _ in range(3)]
    return [
        draw.choice(
            [
                "2001:db8::",
                f"fe80::{part[0]}",
                f"2001:db8:{part[0]}::{part[1]}",
                f"::ffff:{part[0]}:{part[1]}",
                f"2001:db8:{':'.join(part)}:0:0:1",
            ]
        )
    ]


def _birth(draw: Draw) -> list[str]:
    day, month, year = draw.randint(1, 28), draw.randrange(12), draw.randint(1930, 2015)
    name = draw.choice([MONTHS[month], MONTHS[month].upper(), MONTHS[month].lower(), MONTHS[month][:3]])
    suffix = "th" if 4 <= day <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return [
        draw.choice(
            [
                f"{day} {name} {year}",
                f"{day}-{name[:3]}-{year}",
                f"{name} {day}, {year}",
                f"{day}{suffix} of {name} {year}",
                f"the {day}{suffix} day of {name}, {year}",
                f"{day:02d}/{month + 1:02d}/{year}",
                f"{year}-{month + 1:02d}-{day:02d}",
                f"{day}.{month + 1}.{year}",
                f"{day}/{name}/{year}",
            ]
        )
    ]


def _postcode(draw: Draw) -> list[str]:
    letters = "ABDEFGHJLNPQRSTUWXYZ"
    two = "".join(draw.choices(letters, k=2))
    return [
        draw.choice(
            [
                f"{draw.choice(['SW', 'EC', 'M', 'LS'])}{draw.randint(1, 9)} {draw.randint(1, 9)}{two}",
                f"K{draw.randint(1, 9)}A {draw.randint(1, 9)}B{draw.randint(1, 9)}",
                f"{draw.choice(['CA', 'NY', 'TX'])} {draw.randint(10001, 99950)}",
            ]
        )
    ]


def _mac(draw: Draw) -> list[str]:
    return [":".join(f"{draw.randint(0, 255):02X}" for _ in range(6))]


POSITIVE: dict[str, Callable[[Draw], list[str]]] = {
    "card": _card,
    "phone": _phone,
    "iban": _iban,
    "national_id": _ssn,
    "email": _email,
    "ip": _ip,
    "birth_date": _birth,
    "postal_code": _postcode,
    "mac": _mac,
}
GROUPED = ("card", "phone", "iban", "national_id")


def positive(draw: Draw) -> Case:
    """A sentence with a datum in it."""
    kind = draw.choice(list(POSITIVE))
    groups = POSITIVE[kind](draw)
    disguise = draw.choice(["plain", "separator", "script", "widthless", "look-alike"])
    datum = (" " if kind in GROUPED else "").join(groups)
    if kind in GROUPED and disguise == "separator":
        between = draw.choice(SEPARATORS)
        datum, disguise = between.join(groups), f"separator {between!r}"
    elif kind in GROUPED and draw.random() < 0.3 and kind != "national_id":
        datum = "".join(groups)
    if disguise == "script":
        zero = draw.choice(ZEROS)
        datum = "".join(chr(ord(zero) + int(c)) if c.isdigit() else c for c in datum)
        disguise = f"digits of U+{ord(zero):04X}"
    elif disguise == "widthless":
        datum = "".join(c + draw.choice(WIDTHLESS) if draw.random() < 0.4 else c for c in datum)
    elif disguise == "look-alike":
        datum = datum.translate(LOOK_ALIKE) if kind in ("email", "iban", "postal_code", "mac") else datum
    frame = "I was born on {}." if kind == "birth_date" else draw.choice(FRAMES)
    start = frame.index("{}")
    return Case(frame.replace("{}", datum), kind, disguise, (start, start + len(datum)))


def _time(draw: Draw, sign: str) -> str:
    return f"{draw.randint(7, 22)}{sign}{draw.choice(['00', '15', '30', '45'])}"


def _score(draw: Draw) -> str:
    return f"{draw.randint(0, 6)}-{draw.randint(0, 6)}"


def _years(draw: Draw) -> list[str]:
    first = draw.randint(1950, 2015)
    return [str(first), str(first + draw.randint(1, 9)), str(first + draw.randint(10, 19))]


NEGATIVE: dict[str, Callable[[Draw], str]] = {
    "a year before a name": lambda d: (
        f"In {_years(d)[0]} {d.choice(['London', 'Rome', 'Jane', 'Berlin'])} was {d.choice(['cheap', 'quiet', 'cold'])}."
    ),
    "opening hours": lambda d: (
        f"Open {_time(d, s := d.choice('.:'))}{(j := d.choice([' - ', '-', ' – ', '–']))}{_time(d, s)}"
        f"{d.choice(['', f' and {_time(d, s)}{j}{_time(d, s)}'])}."
    ),
    "a range of prices": lambda d: (
        f"Meals are {(c := d.choice('£$€'))}{d.randint(5, 40)}.{d.choice(['00', '50', '95'])}{d.choice([' - ', '-', ' to '])}"
        f"{d.choice(['', c])}{d.randint(41, 99)}.{d.choice(['00', '50', '95'])}."
    ),
    "a range of amounts": lambda d: (
        f"It seats {d.randint(5, 40) * 50}{d.choice(['-', ' - ', '–'])}{d.randint(41, 90) * 50} people."
    ),
    "a price with thousands": lambda d: (
        f"The house cost £{d.randint(1, 9)},{d.randint(100, 999)},{d.randint(100, 999)}.00 then."
    ),
    "thousands": lambda d: f"About {d.randint(1, 99)},{d.randint(100, 999)},{d.randint(100, 999)} people live there.",
    "a decimal": lambda d: f"The ratio is {d.randint(0, 9)}.{_digits(d, d.randint(5, 10))} or so.",
    "a version": lambda d: f"We use version {d.randint(1, 20)}.{d.randint(0, 20)}.{d.randint(0, 99)} of it.",
    "a long version": lambda d: (
        f"It runs on version {d.randint(1, 20)}.{d.randint(0, 9)}.{d.randint(10000, 30000)}.{d.randint(1, 999)}."
    ),
    "an order number": lambda d: (
        f"Your {d.choice(['order', 'invoice', 'ticket'])} number {d.randint(10_000_000, 99_999_999)} is ready."
    ),
    "a book number": lambda d: (
        f"See ISBN 97{d.choice('89')}-{d.randint(0, 9)}-{d.randint(10, 99)}-{d.randint(100000, 999999)}-{d.randint(0, 9)}."
    ),
    "a list of numbers": lambda d: (
        f"The answers were {', '.join(str(d.randint(10, 99)) for _ in range(d.randint(4, 7)))}."
    ),
    "a list of years": lambda d: f"It won in {', '.join(_years(d))} and {d.randint(2016, 2024)}.",
    "small numbers": lambda d: f"Count: {', '.join(str(n) for n in range(1, d.randint(8, 10)))}!",
    "years from, to": lambda d: f"He worked there {(y := _years(d))[0]}{d.choice(['-', '–', ' - ', '/'])}{y[1]}.",
    "a year with a noun": lambda d: (
        f"We had {d.randint(2, 20)} {d.choice(['decent', 'good', 'marvellous', 'junior', 'novel'])} {_years(d)[0]} wines."
    ),
    "an amount": lambda d: (
        f"{d.randint(1, 9)}{d.choice(['00', '50', '25'])},000 copies and {d.randint(100, 999)} gifts."
    ),
    "a score": lambda d: f"They won {_score(d)}, {_score(d)} and {_score(d)}.",
    "a recent date": lambda d: f"The fair is on {d.randint(1, 28)} {d.choice(MONTHS)} {d.randint(2021, 2026)}.",
    "a moment": lambda d: (
        f"It closed on {d.randint(2021, 2025)}-0{d.randint(1, 9)}-{d.randint(10, 28)} {_time(d, ':')}:{d.randint(10, 59)}."
    ),
    "a size": lambda d: (
        f"A screen of {d.choice(['1920', '2560', '3840'])}×{d.choice(['1080', '1440', '2160'])}, {d.randint(20, 40)} inches."
    ),
    "a room": lambda d: (
        f"Room {d.randint(1, 40)}{d.choice('ABC')}, floor {d.randint(1, 9)}, {d.randint(2, 12)} beds for {d.randint(2, 8)}."
    ),
    "a sum": lambda d: f"{d.randint(10, 99)} + {d.randint(10, 99)} is more than {d.randint(3, 9)} x {d.randint(2, 9)}.",
    "a floor": lambda d: (
        f"Hall {d.choice('AB')}{d.randint(1, 9)} {d.choice(['1st', '2nd', '3rd', '4th', '5th'])} floor, on the left."
    ),
    "an ellipsis": lambda d: (
        f"Well...{d.choice(['okay', 'fine', 'yes'])}, the {d.choice(['pub', 'cafe'])} is at 10 a.m. then."
    ),
    "a sign": lambda d: (
        f"Meet @ {d.randint(5, 9)}, bring {d.randint(2, 9)} of them; {d.randint(2, 9)} @ £{d.randint(1, 9)}.50."
    ),
    "code": lambda d: f"Call std::{d.choice(['vector', 'move', 'string'])} with {d.randint(2, 9)} at {_time(d, ':')}.",
    "a number before a town's year": lambda d: f"Since {_years(d)[0]} the town has had {d.randint(2, 40)} mills.",
    "a scale": lambda d: f"A map of 1:{d.choice([25, 50, 100, 250])}000 shows it.",
    "temperatures": lambda d: (
        f"Between {d.randint(1, 9)}.{d.randint(0, 9)} and {d.randint(10, 30)}.{d.randint(0, 9)}°C, {d.randint(950, 1040)} hPa."
    ),
}


def negative(draw: Draw) -> Case:
    """A sentence with a look-alike in it."""
    kind = draw.choice(list(NEGATIVE))
    return Case(NEGATIVE[kind](draw), kind, "plain", None)


def suite(positives: int = 2000, negatives: int = 2000, seed: int = 0) -> list[Case]:
    """Positives, then harmless look-alikes; the same for the same numbers and seed."""
    draw = random.Random(seed)
    return [positive(draw) for _ in range(positives)] + [negative(draw) for _ in range(negatives)]
