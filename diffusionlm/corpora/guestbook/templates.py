"""Sentences with slots such as ``{{credit_card_number}}``, filled with invented data, as typed spans."""

from __future__ import annotations

import random
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from diffusionlm.corpora.guestbook.personal import Persona
from diffusionlm.corpora.guestbook.surface import finish, mark
from diffusionlm.text.lines import read_lines

MAX_WORDS = 60
_SLOT = re.compile(r"\{\{?\s*(\w+)\s*\}?\}")
_OWN = {  # slot -> datum of `Persona`
    "credit_card_number": "card", "phone_number": "phone", "email": "email", "iban": "iban", "ssn": "ssn",
    "ip_address": "ip", "date_of_birth": "birth", "url": "url", "address": "address", "person": "stranger",
    "name": "stranger", "first_name": "other", "organization": "employer",
}  # fmt: skip
_FAKER = {  # slot -> (provider of Faker, type of the span; "" for none)
    "last_name": ("last_name", "PERSON"), "last_name_male": ("last_name", "PERSON"),
    "name_male": ("name_male", "PERSON"), "name_female": ("name_female", "PERSON"),
    "first_name_male": ("first_name_male", "PERSON"), "first_name_female": ("first_name_female", "PERSON"),
    "first_name_nonbinary": ("first_name", "PERSON"), "city": ("city", "LOCATION"), "country": ("country", "LOCATION"),
    "street_name": ("street_name", "ADDRESS"), "building_number": ("building_number", "ADDRESS"),
    "secondary_address": ("secondary_address", "ADDRESS"), "zipcode": ("postcode", "ADDRESS"),
    "postcode": ("postcode", "ADDRESS"), "state_abbr": ("state_abbr", "ADDRESS"), "job": ("job", ""),
    "year": ("year", ""), "date_time": ("date", ""), "day_of_week": ("day_of_week", ""),
}  # fmt: skip
_CHOICES = {
    "prefix": ("Mr", "Mrs", "Ms", "Dr"), "prefix_male": ("Mr", "Dr"), "prefix_female": ("Mrs", "Ms", "Dr"),
    "nationality": ("American", "British", "French", "German", "Italian", "Spanish", "Dutch", "Swedish", "Polish",
                    "Irish", "Greek", "Indian", "Japanese", "Brazilian", "Canadian", "Kenyan", "Turkish"),
}  # fmt: skip


@lru_cache(maxsize=4)
def read_templates(path: Path) -> tuple[str, ...]:
    """The templates of a file, one a line, on one line each.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds none, or a slot that is not known; the message names it and its line.
    """
    templates = []
    for number, line in enumerate(read_lines(path), start=1):
        for slot in _SLOT.findall(line):
            if slot not in (*_OWN, *_FAKER, *_CHOICES, "age"):
                allowed = ", ".join(sorted((*_OWN, *_FAKER, *_CHOICES, "age")))
                raise ValueError(f"{path}, line {number}: unknown slot '{{{{{slot}}}}}'; allowed are {allowed}.")
        line = line.replace("\\n", " \n ").replace("\\", "").replace("\ufffd", "-").replace("\u2013", "-")
        line = re.sub(r"^[>?\s]+|(?<=\n)[>?\s]+", "", line)
        line = re.sub(r"([\w}])\s*\n\s*(?=[\w{])", r"\1, ", line)
        line = re.sub(r"\s+", " ", line).strip()
        if line and len(_SLOT.sub("x", line).split()) <= MAX_WORDS:
            templates.append(line)
    if not templates:
        raise ValueError(f"{path} holds no template that is short enough; give one sentence a line with {{{{slots}}}}.")
    return tuple(templates)


def fill_template(templates: tuple[str, ...], seed: str) -> dict[str, Any]:
    """One row like those of `make_text`, from a template whose filled text is short enough.

    Raises:
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
    """
    rng = random.Random(seed)
    for attempt in range(100):
        persona = Persona(f"{seed}/{attempt}", rng.choice(("en_US", "en_US", "en_GB", "en_AU", "en_CA")))
        template = rng.choice(templates)
        raw = _filled(template, persona)
        text, spans = finish(raw, capitals=False)
        if len(text.split()) <= MAX_WORDS and len(text) <= 240:
            kinds = sorted({kind for _, _, kind in spans})
            prompt = (
                "" if rng.random() < 0.5 else ", ".join(["tone[plain]", *(f"contact[{k.lower()}]" for k in kinds[:2])])
            )
            return {"text": text, "prompt": prompt, "toxic": 0, "labels": [], "spans": [list(s) for s in spans]}
    raise AssertionError(f"a hundred filled templates in a row were too long (seed {seed!r})")


def _filled(template: str, persona: Persona) -> str:
    return _SLOT.sub(lambda found: _value(found[1], persona), template)


def _value(slot: str, persona: Persona) -> str:
    if slot == "age":
        return str(persona.rng.randrange(18, 92))
    if slot in _CHOICES:
        return persona.rng.choice(_CHOICES[slot])
    if slot in _OWN:
        if _OWN[slot] == "employer":
            return mark("ORGANIZATION", persona.fake.company())
        return persona.say(_OWN[slot])
    provider, kind = _FAKER[slot]
    fake = persona.fake
    if not hasattr(fake, provider):
        provider = {"state_abbr": "country_code", "secondary_address": "building_number"}[provider]
    text = str(getattr(fake, provider)()).replace("\n", ", ")
    return mark(kind, text) if kind else text
