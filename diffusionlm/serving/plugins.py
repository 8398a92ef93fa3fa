"""Guidance from people who are not trusted: the plugins and settings that a request, or a row of a job, may name.

A setting that is not listed here is refused, so nothing of a request is read as a file, loaded as a pickle, imported as
code or fetched from the network. Values are plain: texts, numbers, and lists of these; mappings only where listed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diffusionlm.errors import nearest, suggestion

Check = Callable[[Any], str | None]  # what the value must be, where it is not
MOST_PLUGINS = 8
MOST_ATTEMPTS = 4
MOST_CHARACTERS = 20_000  # of all texts in the guidance of one request


def _number(value: Any) -> str | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return None if good else "a number"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "a text"


def _texts(value: Any) -> str | None:
    good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if good else "a list of texts"


def _one_or_more_texts(value: Any) -> str | None:
    return None if _text(value) is None or _texts(value) is None else "a text or a list of texts"


def _nested_texts(value: Any) -> str | None:
    good = isinstance(value, list) and all(_one_or_more_texts(item) is None for item in value)
    return None if good or isinstance(value, str) else "a text, or a list of texts or of lists of texts"


def _range(value: Any) -> str | None:
    whole = [item is None or (isinstance(item, int) and not isinstance(item, bool)) for item in _listed(value)]
    good = value is not None and all(whole) and len(whole) in (1, 2)
    return None if good else "a whole number, or two of them (least, most) with null for no limit"


def _pair(value: Any) -> str | None:
    good = isinstance(value, list) and len(value) == 2 and all(_number(item) is None for item in value)
    return None if good else "two numbers"


def _kinds(value: Any) -> str | None:
    return (
        None
        if value is None or _texts(value) is None or _shares(value) is None
        else "a list of kinds, or shares by kind"
    )


def _shares(value: Any) -> str | None:
    good = isinstance(value, dict) and all(_number(share) is None for share in value.values())
    return None if good else "numbers by name"


def _names(value: Any) -> str | None:
    return None if isinstance(value, bool) or _shares(value) is None else "true, false, or shares by kind"


def _tags(value: Any) -> str | None:
    by_word = isinstance(value, dict) and all(isinstance(tag, str) for tag in value.values())
    return (
        None if by_word or _nested_texts(value) is None else "a pattern, a list of tags, or tags by number of the word"
    )


def _places(value: Any) -> str | None:
    plain = isinstance(value, list) and all(
        isinstance(part, list) and all(item is None or isinstance(item, int | str) for item in part) for part in value
    )
    return None if plain or isinstance(value, str) else "a text, or a list of [first, last, label]"


def _one_of(*names: str) -> Check:
    return lambda value: None if value in names and isinstance(value, str) else f"one of {', '.join(names)}"


def _attempts(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_ATTEMPTS
    return None if good else f"a whole number in 1..{MOST_ATTEMPTS}"


def _schema(value: Any) -> str | None:
    if not isinstance(value, dict | bool):
        return "a JSON Schema"
    return None if _is_closed(value) else "a JSON Schema whose references begin with #: others would be fetched"


def _is_closed(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(map(_is_closed, schema))
    if not isinstance(schema, dict):
        return True
    references = [schema.get(key) for key in ("$ref", "$dynamicRef", "$recursiveRef")]
    near = all(not isinstance(item, str) or item.startswith("#") for item in references)
    return near and all(map(_is_closed, schema.values()))


COMMON: Mapping[str, Check] = {
    "weight": _number,
    "schedule": _one_of("constant", "rising", "falling", "bump"),
    "window": _pair,
    "budget": _number,
    "priority": _number,
    "below": _number,
    "above": _number,
    "attempts": _attempts,
    "normalise": _flag,
    "strategy": _one_of("tilt", "latent", "particles", "constraint"),
}
_SYNTAX: Mapping[str, Check] = {"least": _number, "including": _nested_texts, "idiom": _number}
ALLOWED: Mapping[str, Mapping[str, Check]] = {
    "bigrams": {"texts": _texts},  # not tables: a folder
    "choice": {"options": _texts, "span": _number},
    "classifier-free": {},
    "constituents": {"spans": _places, **_SYNTAX},
    "dependencies": {"arcs": _places, **_SYNTAX},
    "digit-runs": {"few": _number, "reach": _number, "signs": _texts},
    "grammar": {"grammar": _text},
    "json-schema": {
        "schema": _schema,
        "depth": _number,
        "whitespace": _number,
        "decimals": _number,
        "span": _number,
    },
    "length": {"words": _range, "tokens": _range, "characters": _range},
    "part-of-speech": {"tags": _tags, **_SYNTAX},
    "personal-names": {"kinds": _kinds, "allow": _texts},
    "phrases": {
        "include": _texts,
        "exclude": _texts,
        "any_of": _texts,
        "case_sensitive": _flag,
        "whole_words": _flag,
        "forms": _flag,
    },
    "pii": {
        "kinds": _texts,
        "allow": _texts,
        "secrets": _texts,  # a text alone would be a file
        "cards": _one_of("valid", "any"),
        "names": _names,
        "soft": _number,
    },
    "regex": {"require": _one_or_more_texts, "forbid": _one_or_more_texts, "match": _text, "ignore_case": _flag},
    "toxicity": {"focus": _number, "exclude": _texts},  # not judge, checkpoint, labels: they name files
}


def check_guidance(given: Any, also: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Guidance of a request: a list of ``{"name": ..., settings}`` in which everything is allowed.

    Args:
        given: what was sent.
        also: names of further plugins that whoever runs the service allows, with the settings of every plugin and those of
            their own that are plain.

    Raises:
        ValueError: naming the plugin or setting that is not allowed or of the wrong kind.
    """
    if isinstance(given, dict):
        given = [given] if "name" in given else [{"name": name, **_mapping(name, own)} for name, own in given.items()]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise ValueError(
            'guidance must be a list such as [{"name": "phrases", "include": ["Mill"]}], or a mapping such as '
            f'{{"phrases": {{"include": ["Mill"]}}}}; got {_short(given)}.{_as_a_list(given)}'
        )
    if len(given) > MOST_PLUGINS:
        raise ValueError(f"guidance has {len(given)} plugins, at most {MOST_PLUGINS} are allowed.")
    if (size := len(json.dumps(given, ensure_ascii=False))) > MOST_CHARACTERS:
        raise ValueError(f"guidance has {size:,} characters as JSON, at most {MOST_CHARACTERS:,} are allowed.")
    for item in given:
        _check_plugin(item, also)
    return given


def _as_a_list(given: Any) -> str:
    """ " Write ..." for names of plugins that stand bare."""
    names = given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) and name in ALLOWED for name in names) or not names:
        return ""
    return f" Write {json.dumps([{'name': name} for name in names])}."


def _mapping(name: str, own: Any) -> dict[str, Any]:
    if isinstance(own, dict) and own.get("name", name) != name:
        raise ValueError(f"The settings of the plugin {name!r} hold another name, {_short(own['name'])}; leave it out.")
    if own is None or isinstance(own, dict):
        return {key: value for key, value in (own or {}).items() if key != "name"}
    if nearest(name, ["name"]):
        raise ValueError(f'A plugin is named by "name", not by {name!r}: write {{"name": {json.dumps(own)}}}.')
    raise ValueError(f"The settings of the plugin {name!r} must be a mapping, got {_short(own)}.")


def _check_plugin(item: Mapping[str, Any], also: Sequence[str]) -> None:
    name = item.get("name")
    if not isinstance(name, str):
        raise ValueError(
            f"Each plugin in guidance needs its name; this one has only: {', '.join(map(str, item)) or 'nothing'}."
        )
    if name not in ALLOWED and name not in also:
        raise ValueError(
            f"The plugin {name!r} is not among those that may be used here; {suggestion(name, [*ALLOWED, *also])}"
        )
    known = {**COMMON, **ALLOWED.get(name, {})}
    for key, value in item.items():
        if key == "name":
            continue
        if key in known:
            wanted = known[key](value)
        elif name in also and not key.startswith("_"):
            wanted = None if _is_plain(value) else "a text, a number, or a list of these"
        else:
            raise ValueError(
                f"The plugin {name!r} has no setting {key!r} that may be set here; {suggestion(key, known)}"
            )
        if wanted is not None:
            raise ValueError(f"{key} of the plugin {name!r} must be {wanted}; got {_short(value)}.")


def _is_plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, bool | int | float | str)
        or (isinstance(value, list) and all(map(_is_plain, value)))
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def to_key(guidance: Sequence[Mapping[str, Any]]) -> str:
    """Checked guidance as one text, "" for none; the order of keys stays, which has a meaning in a schema."""
    return json.dumps(list(guidance), ensure_ascii=False) if guidance else ""


def from_key(key: str) -> Any:
    """Inverse of `to_key`, as the pipeline takes it.

    Raises:
        ValueError: if a plugin refuses its settings, or is not installed.
    """
    from diffusionlm.guidance.registry.configuration import plugins_from

    return plugins_from(json.loads(key)) if key else None
