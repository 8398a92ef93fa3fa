"""Errors of guidance, and the hint that goes with a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SAVE_AS_UTF8 = "save it as UTF-8"  # advice about a file in another encoding


class GuidanceError(RuntimeError):
    """A plugin did not do what the contract asks, while text was being written; names plugin, place and step.

    Example:
        >>> try:  # doctest: +SKIP
        ...     pipe(guidance=my_plugin)
        ... except GuidanceError as error:
        ...     print(error)
    """


class UnknownPlugin(ValueError):
    """No plugin of that name; the message has the nearest.

    Example:
        >>> get("phrase")
        Traceback (most recent call last):
        diffusionlm.errors.UnknownPlugin: There is no guidance plugin 'phrase'; did you mean 'phrases'?
    """


def reason_of(error: BaseException) -> str:
    """What an error says, in one line of at most 300 characters without a full stop; its type where it says nothing."""
    return " ".join(str(error).split())[:300].rstrip(" .") or type(error).__name__


# Names of the same thing in other libraries.
_MEANT = {
    "num_inference_steps": "steps",
    "generator": "seed",
    "num_images_per_prompt": "num_samples",
    "num_samples": "draws",  # of choose
    "num_return_sequences": "num_samples",
    "max_new_tokens": "max_length",
    "scheduler": "sampler",
    "guidance_scale": "guidance",
    "plugins": "guidance",
    "callback": "callback_on_step_end",
    "attention": "attn_implementation",
    "map_location": "device",
    "device_map": "device",
}


def nearest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is spelt most like another one, letter case aside; None where none is near.

    Args:
        name: as it was given.
        known: names that there are.
        cutoff: how alike they must be, by `difflib`: 1 for the same letters.
    """
    return next(iter(all_near(name, known, 1, cutoff)), None)


def all_near(name: object, known: Iterable[str], count: int, cutoff: float = 0.6) -> list[str]:
    """The known names, ``count`` at most, that are spelt most like another one, letter case aside; the nearest first."""
    by_lower = {item.lower(): item for item in known}
    return [by_lower[item] for item in get_close_matches(str(name).lower(), by_lower, n=count, cutoff=cutoff)]


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """ " Did you mean 'x'?" for the end of a message that lists the known names already; empty where none is near."""
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def suggestion(name: object, known: Iterable[str]) -> str:
    """ "did you mean 'x'?" or the list of known names."""
    known = list(known)
    meant = _MEANT.get(str(name).lower())
    near = meant if meant in known else nearest(name, known)
    return f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}."


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str], of_plugins: Iterable[str] = ()) -> None:
    """Raises TypeError for arguments that do not exist, with a suggestion.

    Args:
        what: who was called.
        given: names of the arguments.
        known: names that there are.
        of_plugins: names that plugins have; who gives one of these is told so.
    """
    known, of_plugins = list(known), list(of_plugins)
    for name in given:
        if name not in known and name in of_plugins:
            raise TypeError(
                f"{what} has no argument {name!r}, which is a setting of plugins: guidance=Toxicity({name}=...), or "
                f"guidance={{'toxicity': {{'{name}': ...}}}}."
            )
        if name not in known:
            raise TypeError(f"{what} has no argument {name!r}; {suggestion(name, known)}")
