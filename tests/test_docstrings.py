"""Everything public says what it is, what its arguments are, and what it raises."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from typing import Any

EXPORTING = ("", ".guidance", ".samplers", ".diffusion", ".denoiser", ".context", ".text")
WHOLE = (".training", ".evaluation")  # these export nothing: their modules are public
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example|Examples):$", re.MULTILINE)
SHAPE = re.compile(r"\((?:\.\.\., *)?[\w +*/-]+,[\w ,+*/-]*\)|scalar|any shape|shapes as in|same shape")


def public() -> dict[str, Any]:
    """Classes and functions that a user may name, by dotted name of where they are defined."""
    found = {}
    for package in EXPORTING:
        module = importlib.import_module(f"diffusionlm{package}")
        for thing in (getattr(module, name) for name in module.__all__):
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found[f"{thing.__module__}.{thing.__qualname__}"] = thing
    for package in WHOLE:
        home = importlib.import_module(f"diffusionlm{package}")
        for info in pkgutil.iter_modules(home.__path__):
            module = importlib.import_module(f"{home.__name__}.{info.name}")
            for name, thing in vars(module).items():
                mine = getattr(thing, "__module__", None) == module.__name__
                if mine and not name.startswith("_") and (inspect.isclass(thing) or inspect.isfunction(thing)):
                    found[f"{module.__name__}.{name}"] = thing
    return found


def callables(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """A function itself; of a class its own public methods and properties."""
    if inspect.isfunction(thing):
        yield name, thing
        return
    for key, member in vars(thing).items():
        if isinstance(member, property):
            member = member.fget
        elif isinstance(member, (classmethod, staticmethod)):
            member = member.__func__
        member = inspect.unwrap(member) if callable(member) else member
        mine = inspect.isfunction(member) and (member.__module__, member.__name__) == (thing.__module__, key)
        if mine and not key.startswith("_"):
            yield f"{name}.{key}", member


def public_callables() -> dict[str, Any]:
    """Public functions, and the methods of public classes, by dotted name."""
    return dict(item for name, thing in public().items() for item in callables(name, thing))


def sections(text: str) -> dict[str, str]:
    """The sections of a docstring in Google's form; what stands before them under ""."""
    parts = SECTION.split(inspect.cleandoc(text))
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def problems(function: Any) -> list[str]:
    """What a function's docstring lacks, in words."""
    text = inspect.cleandoc(function.__doc__ or "")
    if len(text.split()) < 2:
        return ["it has no docstring"]
    said, found = sections(text), []
    parameters = inspect.signature(function).parameters
    if "Args" in said:
        body = textwrap.dedent(said["Args"])
        named = {
            part.strip(" `*")
            for line in re.findall(r"^([\w`*, ]+?)(?: \([^)]*\))?:", body, re.MULTILINE)
            for part in line.split(",")
        }
        found += [f"Args names {name!r}, which is no parameter" for name in sorted(named - set(parameters))]
        missing = [
            key for key in parameters if key not in named and key not in ("self", "cls") and not key.startswith("_")
        ]
        found += [f"Args says nothing of {name!r}" for name in missing]
        tensors = [key for key, parameter in parameters.items() if re.match(r"Tensor\b", str(parameter.annotation))]
        if tensors and not SHAPE.search(text):
            found.append(f"no shape is given for {', '.join(tensors)}")
    for error in raised(function):
        if "Raises" in said and error not in said["Raises"]:
            found.append(f"Raises does not name {error}")
    return found


def raised(function: Any) -> list[str]:
    """Errors that the body itself raises by name, where it is not a class's check of its settings."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    nodes = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    names = {node.func.id for node in nodes if isinstance(node.func, ast.Name)}
    return sorted(name for name in names if name.endswith("Error"))


def test_every_public_name_has_a_docstring_of_its_own():
    names = public()
    assert len(names) > 150
    own = {
        name: vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__ for name, thing in names.items()
    }
    assert [name for name, text in own.items() if len((text or "").split()) < 3] == []


def test_docstrings_of_functions_and_methods_fit_them():
    functions = public_callables()
    assert len(functions) > 300
    wrong = {name: found for name, function in functions.items() if (found := problems(function))}
    assert wrong == {}


def test_raises_are_stated_where_arguments_are_explained():
    silent = []
    for name, function in public_callables().items():
        said = sections(function.__doc__ or "")
        if "Args" in said and "Raises" not in said and "raises" not in said[""].lower() and raised(function):
            silent.append(f"{name} raises {', '.join(raised(function))}")
    assert silent == []


def documented(scores, extra):
    """Adds what there is to add.

    Args:
        scores: numbers.
        other: no parameter.

    Raises:
        ValueError: never mind.
    """
    raise TypeError("...")


documented.__annotations__ = {"scores": "Tensor"}


def test_docstrings_that_do_not_fit_are_noticed():
    assert problems(documented) == [
        "Args names 'other', which is no parameter",
        "Args says nothing of 'extra'",
        "no shape is given for scores",
        "Raises does not name TypeError",
    ]
    assert problems(lambda: 0) == ["it has no docstring"]
