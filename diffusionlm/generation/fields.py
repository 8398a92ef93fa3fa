"""Conditions of fields, ``name[The Mill], food[Italian]``, checked against the fields that a checkpoint was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

from diffusionlm.errors import did_you_mean
from diffusionlm.text.conditions import fields_of


def check_fields(
    prompts: Iterable[str], known: Iterable[str] | None, values: Mapping[str, Iterable[str]] | None = None
) -> None:
    """Refuses conditions whose brackets do not pair, and warns of fields and values that the training data never had.

    Args:
        prompts: conditions.
        known: names of the fields in the training data, as the checkpoint's card lists them under "fields"; where it lists
            none, a condition is a text like any other and nothing is said.
        values: of each field that has a few values only, all of them, as the card lists them under "values".

    Raises:
        ValueError: if a bracket is not closed, or closed without being open; the message shows where.
    """
    if not known:
        return
    prompts = list(prompts)
    for prompt in prompts:
        _check_brackets(prompt)
    said = dict.fromkeys(field for prompt in prompts for field in fields_of(prompt))
    foreign = dict.fromkeys(name for name, _ in said if name not in known)
    if foreign:
        warnings.warn(
            f"No training text of these weights had the field {', '.join(map(repr, foreign))}, so the model makes little of "
            f"it; its fields are: {', '.join(known)}.",
            stacklevel=3,
        )
    for field, few in (values or {}).items():
        few = list(few)
        odd = next((value for name, value in said if name == field and value not in few), None)
        if odd is not None:
            warnings.warn(
                f"No training text of these weights had {field}[{odd}], so the model makes little of it; the "
                f"values of {field!r} are: {', '.join(few)}.{did_you_mean(odd, few)}",
                stacklevel=3,
            )


def _check_brackets(prompt: str) -> None:
    opened = None
    for place, character in enumerate(prompt):
        if character == "[" and opened is not None:
            break
        if character == "]" and opened is None:
            raise ValueError(
                f"The condition {prompt[:80]!r} closes a bracket at character {place} that is not open; a field is written "
                "name[The Mill], and a value holds no bracket."
            )
        opened = place if character == "[" else None if character == "]" else opened
    if opened is not None:
        raise ValueError(
            f"The bracket at character {opened} of the condition, {prompt[max(0, opened - 30) : opened + 30]!r}, is not "
            "closed; a field is written name[The Mill], and a value holds no bracket."
        )
