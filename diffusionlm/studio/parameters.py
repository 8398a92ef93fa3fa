"""Controls from the parameters of a plugin: what a visitor can set, how it is asked, and what a page must not offer.

A page may be open to strangers. Only numbers, switches, choices and plain text become controls; whatever names a model, a
file or a function does not, by its type, its name, or what its documentation says.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from diffusionlm.guidance import Guidance
from diffusionlm.guidance.guidance import COMMON
from diffusionlm.studio.control import Control

_UNSAFE_NAME = re.compile(
    r"(^|_)(model|tokenizer|function|path|file|folder|directory|dir|checkpoint|url|uri|device|module|network|code|script|"
    r"callable|command|cache|repo|weights)s?($|_)"
)
_UNSAFE_HELP = re.compile(
    r"\b(file|files|folder|folders|path|directory|checkpoint|url|download|loaded model|import|callable|from_pretrained|hub)\b",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(r"""``("[^"`]+"|'[^'`]+')``""")


@dataclass(frozen=True)
class Parameters:
    """All parameters of a plugin class, as a page sees them.

    Attributes:
        controls: those of its own that a visitor can set.
        hidden: names of those that only Python can set.
        missing: hidden parameters without a default, or with one that the plugin refuses by its own account (a grammar without
            rules): it cannot be made on a page at all.
    """

    controls: tuple[Control, ...]
    hidden: tuple[str, ...]
    missing: tuple[str, ...]


def parameters_of(kind: type[Guidance]) -> Parameters:
    """Reads the signature, the type hints and the docstring of a plugin class; settings that all share are left out."""
    helps = argument_help(kind)
    found, hidden, missing = [], [], []
    defaults = {item.name: _default(item) for item in fields(kind)}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in COMMON or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        default = defaults.get(name, MISSING)
        if default is MISSING and parameter.default is not parameter.empty:
            default = parameter.default
        control = control_for(name, type_of(kind, name), default, helps.get(name, ""))
        if control is not None:
            found.append(control)
            continue
        hidden.append(name)
        if default is MISSING or _is_needed(kind, name, default):
            missing.append(name)
    return Parameters(tuple(found), tuple(hidden), tuple(missing))


def _is_needed(kind: type[Guidance], name: str, default: Any) -> bool:
    """Whether a plugin that says it cannot be made without settings has this one in its example."""
    if "default_constructible" not in kind.expected_failures:
        return False
    try:
        return bool(getattr(kind.example(), name, default) != default)
    except (ImportError, TypeError, ValueError):  # a package of an extra is not here, so it cannot be made either
        return True


def control_for(name: str, hint: Any, default: Any, text: str = "") -> Control | None:
    """The control of one parameter, or None where a page must not or cannot offer it.

    Args:
        name: of the parameter.
        hint: its type; what cannot be resolved is Any.
        default: or ``dataclasses.MISSING``.
        text: its documentation.
    """
    if _UNSAFE_NAME.search(name.lower()) or name.startswith("_"):
        return None
    shape = _shape(hint, default)
    if shape is None:
        return None
    control, choices, optional, whole = shape
    risky = _UNSAFE_HELP.search(text) is not None
    if control == "text" and (risky or not whole):  # it may be taken for the name of a file
        return None
    if control == "lines" and risky and whole:  # where the type has a path beside the list, the list holds plain texts
        return None
    empty: Any = {"switch": False, "lines": (), "text": "", "choice": choices[0] if choices else None}.get(control)
    value = empty if default is MISSING else default
    if value is not None and not _fits(control, choices, value):
        return None
    return Control(name, control, value, choices, optional or value is None, text, _example(text))


def _example(text: str) -> str:
    found = _EXAMPLE.search(text)
    return found[1][1:-1] if found else ""


def _shape(hint: Any, default: Any) -> tuple[str, tuple[str, ...], bool, bool] | None:
    """(kind, choices, optional, whether nothing but plain data is allowed) of a type; None where nothing can be shown.

    Of a type with several forms, the one of the default is shown, else the richest.
    """
    parts = set(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else {hint}
    optional = type(None) in parts
    parts.discard(type(None))
    forms: dict[str, tuple[str, ...]] = {}
    plain = True
    for part in parts:
        form = _form(part)
        if form is None:
            plain = plain and _is_plain(part)
        else:
            forms[form[0]] = form[1]
    if "range" in forms:
        forms.pop("integer", None)
    if {"integer", "number"} <= set(forms):
        forms.pop("integer")
    if {"lines", "text"} <= set(forms):
        forms.pop("text" if not isinstance(default, str) else "lines")
    fitting = [form for form in forms if default is not None and _fits(form, forms[form], default)] or list(forms)
    return (fitting[0], forms[fitting[0]], optional, plain) if len(fitting) == 1 else None


def _form(hint: Any) -> tuple[str, tuple[str, ...]] | None:
    """(kind, choices) of a type that is no union."""
    if get_origin(hint) is Literal:
        return ("choice", get_args(hint)) if all(isinstance(value, str) for value in get_args(hint)) else None
    if _is_list_of(hint, {str}) or _is_list_of_texts_and_lists(hint):
        return "lines", ()
    if _is_list_of(hint, {int, type(None)}):
        return "range", ()
    if get_origin(hint) is tuple and get_args(hint) == (float, float):
        return "pair", ()
    simple: dict[Any, str] = {bool: "switch", int: "integer", float: "number", str: "text"}
    return (simple[hint], ()) if isinstance(hint, type) and hint in simple else None


def _is_plain(hint: Any, inside: tuple[Any, ...] = ()) -> bool:
    """True if values of a type are text, numbers, and lists, mappings and records of them: data that names nothing by itself.

    Args:
        hint: the type.
        inside: records whose fields are being looked at: a tree holds trees.
    """
    if get_origin(hint) in (dict, Mapping, list, tuple, set, frozenset, Sequence, Iterable, Union, types.UnionType):
        return all(part is Ellipsis or _is_plain(part, inside) for part in get_args(hint))
    if isinstance(hint, type) and is_dataclass(hint) and not issubclass(hint, Guidance):
        own = (*inside, hint)
        return hint in inside or all(_is_plain(type_of(hint, item.name), own) for item in fields(hint))
    return hint in (str, int, float, bool, type(None))


def _is_list_of_texts_and_lists(hint: Any) -> bool:
    """True if it is a list whose entries are texts or lists of texts: then a list of texts is one."""
    if get_origin(hint) not in (list, Sequence, Iterable):
        return False
    (entry,) = get_args(hint)
    parts = set(get_args(entry)) if get_origin(entry) in (Union, types.UnionType) else {entry}
    return str in parts and all(_is_list_of(part, {str}) for part in parts - {str})


def _is_list_of(hint: Any, allowed: set[type]) -> bool:
    if get_origin(hint) not in (list, tuple, set, frozenset, Sequence, Iterable):
        return False
    inner: set[Any] = set()
    for part in get_args(hint):
        inner |= set(get_args(part)) if get_origin(part) in (Union, types.UnionType) else {part}
    inner.discard(Ellipsis)
    return bool(inner) and inner <= allowed


def _fits(control: str, choices: tuple[str, ...], value: Any) -> bool:
    match control:
        case "switch":
            return isinstance(value, bool)
        case "integer" | "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "choice":
            return value in choices
        case "lines":
            return isinstance(value, str | Sequence) and all(isinstance(item, str) for item in value)
        case "range":
            return isinstance(value, int | Sequence) and not isinstance(value, str | bool)
        case "pair":
            return isinstance(value, Sequence) and len(value) == 2
        case _:
            return isinstance(value, str)


def type_of(kind: type, name: str) -> Any:
    """The type of an annotated attribute, resolved where its class was defined; Any where it cannot be."""
    for owner in kind.__mro__:
        annotations = inspect.get_annotations(owner)
        if name not in annotations:
            continue
        holder = types.SimpleNamespace(__annotations__={name: annotations[name]})
        space = {**vars(sys.modules.get(owner.__module__, types.ModuleType("nowhere"))), **vars(owner)}
        try:
            return get_type_hints(holder, globalns=space)[name]
        except (NameError, TypeError, AttributeError, SyntaxError):  # a name under TYPE_CHECKING, say
            return Any
    return Any


def _default(item: Any) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def argument_help(kind: type) -> dict[str, str]:
    """Description of each parameter by the docstring's "Args:", on one line; of the class and those it derives from."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        text = inspect.cleandoc(owner.__dict__.get("__doc__") or "")
        section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", text, re.MULTILINE)
        name = None
        for line in section[1].splitlines() if section else ():
            entry = re.match(r"^\s{2,4}(\w+)(?:\s*\([^)]*\))?:\s+(.*)$", line)
            if entry:
                name = entry[1]
                found[name] = entry[2].strip()
            elif name and line.strip():
                found[name] += " " + line.strip()
    return found
