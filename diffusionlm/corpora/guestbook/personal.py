"""Invented personal data of one writer, from Faker: names, numbers and addresses that belong together.

Numbers come mostly from ranges that are set aside for fiction (US 555-01xx, the Ofcom ranges of the United Kingdom);
e-mail addresses from example domains and invented ones; some cards are the payment industry's test numbers.
"""

from __future__ import annotations

import random
import re
import unicodedata
from functools import cache, cached_property
from typing import Any

from diffusionlm.corpora.guestbook.surface import mark

# All give the same in every process; the Italian towns do not (Faker keeps them in a set).
LOCALES = ("en_US", "en_US", "en_GB", "en_GB", "en_AU", "en_CA", "en_IE", "de_DE", "fr_FR", "es_ES", "pt_PT", "nl_NL")
TEST_CARDS = (
    "4111111111111111", "4242424242424242", "4012888888881881", "5555555555554444", "5105105105105100",
    "4000056655665556", "2223003122003222", "4539578763621486", "6011111111111117", "5200828282828210",
)  # fmt: skip
MAIL_HOSTS = (
    "example.com", "example.org", "example.net", "mail.example.com", "post.example.org", "gmail.com", "hotmail.com",
    "yahoo.com", "outlook.com", "inbox.com",
)  # fmt: skip
US_AREAS = [
    "201",
    "202",
    "206",
    "212",
    "213",
    "303",
    "305",
    "312",
    "404",
    "415",
    "503",
    "512",
    "602",
    "617",
    "619",
    "702",
    "713",
    "718",
    "773",
    "808",
    "904",
    "916",
    "917",
]
UK_FICTION = (
    "020 7946 0###", "0113 496 0###", "0114 496 0###", "0115 496 0###", "0116 496 0###", "0117 496 0###",
    "0118 496 0###", "0121 496 0###", "0131 496 0###", "0141 496 0###", "0151 496 0###", "0161 496 0###",
    "07700 900###", "07700 900 ###", "+44 7700 900###", "+44 20 7946 0###", "029 2018 0###", "01632 960###",
)  # fmt: skip
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
POOL = 96  # cards, accounts and the like that recur in the corpus: what a model can learn by heart


@cache
def faker_of(locale: str) -> Any:
    """Faker's generator of one locale.

    Raises:
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
    """
    try:
        from faker import Faker
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The guestbook corpus invents personal data with Faker, which is not installed; "
            "run: pip install 'diffusionlm-toolkit[corpora]'",
            name="faker",
        ) from error
    return Faker(locale)


def luhn_digit(number: str) -> str:
    """The check digit that makes a card number pass the Luhn sum (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


class Persona:
    """One invented writer; every datum is drawn once and stays the same in a text.

    Args:
        seed: decides all of it.
        locale: of names and addresses; drawn if not given.
    """

    def __init__(self, seed: str, locale: str | None = None) -> None:
        self._seed, self._given = seed, locale
        self.kinds: list[str] = []  # what has been told, in order

    @cached_property
    def rng(self) -> random.Random:
        """Draws what Faker does not."""
        return random.Random("persona/" + self._seed)

    @cached_property
    def locale(self) -> str:
        """Language and country, such as en_GB."""
        return self._given or self.rng.choice(LOCALES)

    @cached_property
    def fake(self) -> Any:
        """Faker in this writer's locale, seeded for this text alone."""
        fake = faker_of(self.locale)
        fake.seed_instance(self.rng.getrandbits(64))
        return fake

    def say(self, kind: str) -> str:
        """A datum with the marks of its span; ``kind`` is the name of a property or method below."""
        value = getattr(self, kind)
        entity, text = value if isinstance(value, tuple) else value()
        if entity not in self.kinds:
            self.kinds.append(entity)
        return mark(entity, text)

    # ---- names ------------------------------------------------------------------------------------------------------

    @cached_property
    def _names(self) -> tuple[str, str]:
        fake = self.fake
        return fake.first_name(), fake.last_name()

    @cached_property
    def person(self) -> tuple[str, str]:
        """First and last name."""
        return "PERSON", " ".join(self._names)

    @cached_property
    def first(self) -> tuple[str, str]:
        """First name."""
        return "PERSON", self._names[0]

    @cached_property
    def last(self) -> tuple[str, str]:
        """Last name."""
        return "PERSON", self._names[1]

    def other(self) -> tuple[str, str]:
        """First name of somebody else."""
        return "PERSON", self.fake.first_name()

    def stranger(self) -> tuple[str, str]:
        """First and last name of somebody else."""
        return "PERSON", f"{self.fake.first_name()} {self.fake.last_name()}"

    @cached_property
    def organization(self) -> tuple[str, str]:
        """An employer."""
        return "ORGANIZATION", self.fake.company().rstrip(".")

    # ---- where to reach them ----------------------------------------------------------------------------------------

    @cached_property
    def email(self) -> tuple[str, str]:
        """An e-mail address made of the name."""
        first, last = (re.sub("[^a-z]", "", _ascii(name).lower()) or "guest" for name in self._names)
        rng = self.rng
        number = str(rng.randrange(1, 100))
        forms = (f"{first}.{last}", f"{first}{last}", f"{first[0]}{last}", f"{first}_{last}", f"{first}{number}",
                 f"{last}.{first[0]}", f"{first}{last}{number}", f"{first}")  # fmt: skip
        return "EMAIL_ADDRESS", f"{rng.choice(forms)}@{rng.choice(MAIL_HOSTS)}"

    @cached_property
    def phone(self) -> tuple[str, str]:
        """A telephone number, mostly from the ranges set aside for fiction."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.4:
            pattern = rng.choice(UK_FICTION)
        else:
            line = "555-01##" if draw < 0.75 else f"{rng.randrange(2, 10)}{rng.randrange(10, 99):02}-####"
            area = rng.choice(US_AREAS)
            pattern = rng.choice((f"({area}) {line}", f"{area}-{line}", f"{area}-{line}", f"+1 {area}-{line}"))
            if rng.random() < 0.2:
                pattern = pattern.replace("-", ".").replace("(", "").replace(") ", ".")
        return "PHONE_NUMBER", _numbers(pattern, rng)

    @cached_property
    def address(self) -> tuple[str, str]:
        """Street, number and town on one line."""
        fake, rng = self.fake, self.rng
        street = self._street
        town = fake.city()
        if rng.random() < 0.35:
            town += f" {fake.postcode()}"
        return "ADDRESS", f"{street}, {town}"

    @cached_property
    def street(self) -> tuple[str, str]:
        """House number and street alone."""
        return "ADDRESS", self._street

    @cached_property
    def _street(self) -> str:
        fake = self.fake
        if self.locale.startswith("en"):  # without the flat, which Faker puts first or last
            return f"{fake.building_number()} {fake.street_name()}"
        return _one_line(fake.street_address()).split(", ")[0]

    @cached_property
    def url(self) -> tuple[str, str]:
        """A page of the writer's own."""
        first, last = (re.sub("[^a-z]", "", _ascii(name).lower()) or "guest" for name in self._names)
        host = self.rng.choice(("example.com", "example.org", "example.net", "myblog.com", "photos.net"))
        return "URL", self.rng.choice(
            (f"www.{first}{last}.com", f"https://{host}/{first}", f"http://www.{last}.net", f"{host}/{first}-{last}")
        )

    @cached_property
    def ip(self) -> tuple[str, str]:
        """An address of the internet, version 4, seldom 6."""
        return "IP_ADDRESS", self.fake.ipv6() if self.rng.random() < 0.05 else self.fake.ipv4()

    # ---- numbers ----------------------------------------------------------------------------------------------------

    def _recurring(self, name: str) -> random.Random:
        """Half of the time the generator of one of few recurring data, else this writer's own."""
        if self.rng.random() < 0.5:
            return random.Random(f"recurring/{name}/{self.rng.randrange(POOL)}")
        return self.rng

    @cached_property
    def card(self) -> tuple[str, str]:
        """A card number with a valid Luhn sum."""
        if self.rng.random() < 0.25:
            number = self.rng.choice(TEST_CARDS)
        else:
            rng = self._recurring("card")
            prefix = rng.choice(
                ("4929", "4716", "4532", "4485", "4539", "5291", "5412", "5523", "5187", "3714", "6011")
            )
            size = 15 if prefix.startswith("37") else 16
            number = prefix + "".join(str(rng.randrange(10)) for _ in range(size - 1 - len(prefix)))
            number += luhn_digit(number)
        cuts = (4, 10, 15) if len(number) == 15 else (4, 8, 12, 16)
        pieces = [number[a:b] for a, b in zip((0, *cuts), cuts, strict=False)]
        return "CREDIT_CARD", self.rng.choices((" ", "-", ""), (6, 3, 2))[0].join(pieces)

    @cached_property
    def iban(self) -> tuple[str, str]:
        """An international bank account number with valid check digits (ISO 13616)."""
        rng = self._recurring("iban")
        fake = faker_of(rng.choice(("en_GB", "de_DE", "fr_FR", "nl_NL", "es_ES", "it_IT")))
        fake.seed_instance(rng.getrandbits(64))
        number = fake.iban()
        if self.rng.random() < 0.4:
            number = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
        return "IBAN_CODE", number

    @cached_property
    def ssn(self) -> tuple[str, str]:
        """A social security number of the United States."""
        rng = self._recurring("ssn")
        fake = faker_of("en_US")
        fake.seed_instance(rng.getrandbits(64))
        return "US_SSN", fake.ssn()

    @cached_property
    def birth(self) -> tuple[str, str]:
        """A date of birth in one of several forms."""
        rng = self.rng
        day, month, year = rng.randrange(1, 29), rng.randrange(1, 13), rng.randrange(1938, 2004)
        return "DATE_OF_BIRTH", rng.choice(
            (f"{day} {MONTHS[month - 1]} {year}", f"{MONTHS[month - 1]} {day}, {year}", f"{day:02}/{month:02}/{year}",
             f"{year}-{month:02}-{day:02}", f"{day:02}.{month:02}.{year}")
        )  # fmt: skip

    @cached_property
    def password(self) -> tuple[str, str]:
        """A password or door code."""
        rng = self._recurring("password")
        words = ("sunflower", "dolphin", "Chelsea", "pepper", "Winter", "marmalade", "tiger", "Summer", "rosebud",
                 "Banana", "kestrel", "Juniper", "paddington", "Welcome", "coffee", "shadow", "Monkey", "letmein")  # fmt: skip
        return "PASSWORD", f"{rng.choice(words)}{rng.choice(('', '!', '_', '-'))}{rng.randrange(10, 2030)}"

    @cached_property
    def booking(self) -> tuple[str, str]:
        """A booking reference."""
        letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
        rng = self.rng
        return "BOOKING_CODE", "".join(rng.choice(letters) for _ in range(rng.choice((2, 3)))) + _numbers(
            rng.choice(("####", "-####", "#####")), rng
        )

    @cached_property
    def plate(self) -> tuple[str, str]:
        """A number plate."""
        letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
        a, b, c, d, e = (self.rng.choice(letters) for _ in range(5))
        return "LICENSE_PLATE", f"{a}{b}{self.rng.randrange(10, 74)} {c}{d}{e}"


def _numbers(pattern: str, rng: random.Random) -> str:
    return "".join(str(rng.randrange(10)) if character == "#" else character for character in pattern)


def _one_line(text: str) -> str:
    return ", ".join(line.strip() for line in text.splitlines() if line.strip())


def _ascii(text: str) -> str:
    folded = text.replace("ß", "ss").replace("ø", "o").replace("æ", "ae").replace("ł", "l")
    return unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
