"""One text of the corpus: what it is about, in which tone, with which personal data, as text, prompt, labels, spans."""

from __future__ import annotations

import random
import re
from functools import lru_cache
from typing import Any

from diffusionlm.corpora.guestbook import (
    contact,
    details,
    food,
    frames,
    identity,
    people,
    places,
    rude,
    service,
    sights,
    stay,
)
from diffusionlm.corpora.guestbook.grammar import Grammar
from diffusionlm.corpora.guestbook.personal import Persona
from diffusionlm.corpora.guestbook.scene import Scene
from diffusionlm.corpora.guestbook.surface import finish

MAX_WORDS, MAX_CHARACTERS = 45, 230
ABOUT = {  # kind of place -> what its guests speak of
    "pub": ("food", "drinks", "service", "atmosphere", "price"),
    "restaurant": ("food", "food", "service", "service", "price", "atmosphere", "drinks"),
    "hotel": ("room", "room", "service", "service", "price", "location", "food"),
    "cafe": ("food", "drinks", "service", "atmosphere"),
    "museum": ("exhibits", "exhibits", "service", "price"),
    "shop": ("goods", "goods", "service", "price"),
    "tour": ("sights", "sights", "service", "price"),
}
DOMAINS = (
    "pub",
    "pub",
    "restaurant",
    "restaurant",
    "restaurant",
    "hotel",
    "hotel",
    "cafe",
    "cafe",
    "museum",
    "shop",
    "tour",
)
CONTACTS = (
    "phone", "phone", "phone", "email", "email", "email", "card", "card", "card", "iban", "ssn", "address", "address",
    "ip", "birth", "url", "password", "booking", "plate", "name", "name", "name",
)  # fmt: skip
GROUPS = {  # kind of place -> what it is besides: one enters a house, and eats in an eatery
    "pub": ("house", "eatery"),
    "restaurant": ("house", "eatery"),
    "cafe": ("house", "eatery"),
    "tour": ("journey",),
}
TONES = {  # tone -> modifiers of its sentences
    "praise": ("praise", "civil"),
    "complaint": ("complaint", "civil", "neg"),
    "rude": ("rude", "neg"),
}
RUDE_SHARE, PRAISE_SHARE, LEAK_SHARE, SAFE_SHARE, IDENTITY_SHARE = 0.35, 0.36, 0.32, 0.13, 0.13


@lru_cache(maxsize=1)
def grammar() -> Grammar:
    """All pools."""
    modules = (contact, details, food, frames, identity, people, places, rude, service, sights, stay)
    return Grammar(module.RULES for module in modules)


def make_text(seed: str) -> dict[str, Any]:
    """One row: ``text``, ``prompt``, ``toxic``, ``labels``, ``spans``; the seed decides all of it.

    Raises:
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
    """
    for attempt in range(100):
        row = _attempt(f"{seed}/{attempt}")
        if len(row["text"].split()) <= MAX_WORDS and len(row["text"]) <= MAX_CHARACTERS:
            return row
    raise AssertionError(f"a hundred texts in a row were too long (seed {seed!r})")


def _attempt(seed: str) -> dict[str, Any]:
    rng = random.Random(seed)
    domain = rng.choice(DOMAINS)
    about = rng.choice(ABOUT[domain])
    draw = rng.random()
    tone = "rude" if draw < RUDE_SHARE else "praise" if draw < RUDE_SHARE + PRAISE_SHARE else "complaint"
    draw = rng.random()
    mode = "leak" if draw < LEAK_SHARE else "safe" if draw < LEAK_SHARE + SAFE_SHARE else None
    kind = rng.choice(CONTACTS)
    persona = Persona(seed)
    context = frozenset({domain, about, *GROUPS.get(domain, ("house",))}) | ({mode} if mode else set())
    scene = Scene(grammar(), rng, persona, context, plural=rng.random() < 0.6)

    sentences = _sentences(scene, tone, kind if mode else None)
    text, spans = finish(" ".join(sentences))
    rude_spans = [span for span in spans if span[2] == "INSULT"]
    labels = []
    if rude_spans:
        labels = ["toxicity"] + ["obscene"] * scene.obscene
        if len(rude_spans) > 1 or not scene.obscene:
            labels.append("insult")
    fields = {"tone": tone, "name": scene.bound.get("place", ""), "type": domain, "about": about,
              "contact": kind if mode == "leak" else ""}  # fmt: skip
    return {
        "text": text,
        "prompt": _prompt(fields, rng),
        "toxic": int(bool(rude_spans)),
        "labels": labels,
        "spans": [list(span) for span in spans],
    }


def _sentences(scene: Scene, tone: str, contact_kind: str | None) -> list[str]:
    """One to four sentences; a rude text is civil at first as often as not."""
    rng = scene.rng
    civil = tone
    if tone == "rude" and rng.random() < 0.85:
        civil = "complaint"
    moves: list[tuple[str, str]] = []
    if rng.random() < 0.4:
        moves.append(("opening", civil))
    if tone == "rude":
        moves += rng.choice(
            (
                [("statement", "rude")],
                [("statement", "rude"), ("verdict", "complaint")],
                [("statement", "complaint"), ("verdict", "rude")],
                [("statement", "complaint"), ("staffmove", "rude")],
                [("statement", "complaint"), ("detail", "rude")],
                [("statement", "rude"), ("detail", "complaint")],
                [("verdict", "rude")],
                [("statement", "praise"), ("staffmove", "rude")],
                [("statement", "praise"), ("staffmove", "rude"), ("verdict", "complaint")],
                [("detail", "rude"), ("verdict", "complaint")],
                [("statement", "complaint"), ("detail", "complaint"), ("verdict", "rude")],
                [("statement", "rude"), ("verdict", "rude")],
                [("statement", "complaint+aside")],
                [("verdict", "complaint+aside")],
            )
        )
    else:
        moves += rng.choice(
            (
                [("statement", tone)],
                [("statement", tone)],
                [("statement", tone), ("verdict", tone)],
                [("statement", tone), ("detail", tone)],
                [("statement", tone), ("staffmove", tone)],
                [("statement", tone), ("detail", tone), ("verdict", tone)],
                [("statement", tone), ("staffmove", tone), ("verdict", tone)],
                [("detail", tone), ("verdict", tone)],
                [("verdict", tone)],
                [("statement", "praise" if tone == "complaint" else "complaint"), ("staffmove", tone)],
            )
        )
        if rng.random() < IDENTITY_SHARE:
            moves.insert(rng.randint(min(1, len(moves)), len(moves)), ("identity", tone))
    if "service" in scene.context and ("statement", "praise") in moves and tone != "praise":
        moves.remove(("statement", "praise"))  # the staff that were a delight are not also a disgrace
    if contact_kind:
        if len(moves) > 1 and rng.random() < 0.5:
            kept = rng.randint(1, len(moves))
            shorter = moves[-kept:] if tone == "rude" else moves[:kept]
            if tone != "rude" or any("rude" in mood or "aside" in mood for _, mood in shorter):
                moves = shorter
        moves.insert(
            len(moves) if rng.random() < 0.75 else rng.randint(0, len(moves)), (f"contact {contact_kind}", tone)
        )
    said = [(_move(scene, move, tone), move, tone) for move, tone in moves]
    return [_end(sentence, move, tone, rng) for sentence, move, tone in _joined(said, rng)]


def _joined(said: list[tuple[str, str, str]], rng: random.Random) -> list[tuple[str, str, str]]:
    """Some sentences become one: with "but" where the tone turns, with "and" now and then."""
    result = said[:1]
    for sentence, move, tone in said[1:]:
        before, earlier, mood = result[-1]
        plain = re.sub(r"^(and|also,|on top of that,|even|well,) ", "", sentence)
        if earlier in _JOINABLE and move in _JOINABLE and len(before.split()) + len(plain.split()) < 32:
            turns = (mood == "praise") != (tone == "praise")
            if turns or rng.random() < 0.15:
                plain = plain.removesuffix(", too")
                result[-1] = (f"{before}, {'but' if turns else 'and'} {plain}", move, tone)
                continue
        result.append((sentence, move, tone))
    return result


_JOINABLE = ("statement", "staffmove", "detail")


def _move(scene: Scene, move: str, tone: str) -> str:
    tone, _, aside = tone.partition("+")
    name, *modifiers = move.split()
    modifiers += TONES[tone]
    if name == "detail" and not scene.can_say(name, *modifiers):
        name = "verdict"
    said = scene.say(name, *modifiers)
    return f"{said}, {scene.say('aside', 'rude')}" if aside else said


def _end(sentence: str, move: str, tone: str, rng: random.Random) -> str:
    if re.search(r"[.!?:]$", sentence):
        return sentence
    if move.startswith(("opening", "contact")):
        return sentence + "."
    return sentence + ("!" if rng.random() < {"praise": 0.12, "rude": 0.2}.get(tone.partition("+")[0], 0.03) else ".")


def _prompt(fields: dict[str, str], rng: random.Random) -> str:
    """The condition as the model reads it; every field is left out at random, so that prompts vary."""
    keep = rng.choice((0.3, 0.6, 0.9))
    told = {name: value for name, value in fields.items() if value}
    return ", ".join(f"{name}[{value}]" for name, value in told.items() if rng.random() < keep)
