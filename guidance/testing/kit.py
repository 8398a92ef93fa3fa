"""Runs the checks over a plugin, and says what holds."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusionlm.errors import suggestion
from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.configuration import plugins_from
from diffusionlm.guidance.registry.function_plugin import class_of
from diffusionlm.guidance.testing.checks import CHECKS, cost_class, milliseconds_of


@dataclass(frozen=True)
class Report:
    """What the kit found.

    Attributes:
        plugin: its name.
        passed: names of the checks that hold.
        expected: checks that fail as declared, with the reason.
        failed: checks that fail, with what went wrong.
        milliseconds: time of one energy with its gradient, per sample.
        cost: "light" (up to 1 ms), "medium" (up to 10 ms) or "heavy".
    """

    plugin: str
    passed: list[str]
    expected: dict[str, str]
    failed: dict[str, str]
    milliseconds: float
    cost: str

    def __str__(self) -> str:
        time = f"{self.milliseconds:.2f} ms for each sample and step ({self.cost})"
        lines = [f"{self.plugin}: {'not timed' if self.milliseconds != self.milliseconds else time}"]
        lines += [f"  holds   {name}" for name in self.passed]
        lines += [f"  excused {name}: {reason}" for name, reason in self.expected.items()]
        lines += [f"  FAILS   {name}: {reason}" for name, reason in self.failed.items()]
        return "\n".join(lines)


def examine(plugin: Any, expected_failures: Mapping[str, str] | None = None) -> Report:
    """Runs every check.

    Args:
        plugin: a `Guidance`, a class of one (its ``example()`` is taken), a function of the state, or a name.
        expected_failures: checks that are known to fail, and why; added to those of the class.
    """
    plugin = _example(plugin)
    excused = _excused(plugin, expected_failures)
    passed, expected, failed = [], {}, {}
    for name in CHECKS:
        try:
            CHECKS[name](copy.copy(plugin))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if name in excused:
                expected[name] = excused[name]
            else:
                failed[name] = reason
        else:
            if name in excused:
                failed[name] = (
                    f"it holds, though it was expected to fail ({excused[name]}); take it from expected_failures"
                )
            else:
                passed.append(name)
    took = milliseconds_of(plugin) if not failed else float("nan")
    return Report(plugin.title, passed, expected, failed, took, cost_class(took))


def check_guidance(plugin: Any, expected_failures: Mapping[str, str] | None = None) -> Report:
    """Runs every check; arguments as in `examine`.

    Raises:
        AssertionError: with every check that does not hold.
    """
    report = examine(plugin, expected_failures)
    if report.failed:
        raise AssertionError(str(report))
    return report


def run_check(plugin: Any, check: str, expected_failures: Mapping[str, str] | None = None) -> None:
    """Runs one check.

    Raises:
        AssertionError: if it does not hold, or holds though it was expected to fail.
    """
    if check not in CHECKS:
        raise ValueError(f"There is no check {check!r}; {suggestion(check, CHECKS)}")
    plugin = _example(plugin)
    excused = _excused(plugin, expected_failures)
    try:
        CHECKS[check](copy.copy(plugin))
    except Exception as error:
        if check in excused:
            return
        raise AssertionError(f"{plugin.title} fails {check}: {type(error).__name__}: {error}") from error
    if check in excused:
        raise AssertionError(f"{plugin.title} holds {check}, though it was expected to fail: {excused[check]}")


def parametrize_checks(*plugins: Any) -> Any:
    """``pytest.mark.parametrize`` over plugins and checks, as arguments ``plugin`` and ``check``, ids "plugin-check"."""
    import pytest

    pairs = [(_example(plugin), check) for plugin in plugins for check in CHECKS]
    ids = [f"{plugin.title}-{check}" for plugin, check in pairs]
    return pytest.mark.parametrize(("plugin", "check"), pairs, ids=ids)


def _example(plugin: Any) -> Guidance:
    if isinstance(plugin, type) and issubclass(plugin, Guidance):
        return plugin.example()
    if isinstance(plugin, str):
        from diffusionlm.guidance.registry.plugins import get

        return get(plugin).example()
    if inspect.isfunction(plugin):
        return class_of(plugin)()
    return plugins_from(plugin)[0]


def _excused(plugin: Guidance, more: Mapping[str, str] | None) -> dict[str, str]:
    excused = {**plugin.expected_failures, **(more or {})}
    for name in excused:
        if name not in CHECKS:
            raise ValueError(
                f"expected_failures of {plugin.title!r} names no check: {name!r}; {suggestion(name, CHECKS)}"
            )
    return excused
