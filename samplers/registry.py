"""The one place where a string becomes a sampler."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from diffusers.schedulers.scheduling_utils import SchedulerMixin

from diffusionlm.samplers.ancestral import AncestralSampler
from diffusionlm.samplers.churn import ChurnSampler
from diffusionlm.samplers.diffusers_adapter import DiffusersSampler
from diffusionlm.samplers.dpm_solver import DPMSolver2MSampler
from diffusionlm.samplers.euler import EulerSampler
from diffusionlm.samplers.lookup import check_settings, named_class, parameters
from diffusionlm.samplers.sampler import Sampler

SAMPLERS: dict[str, type[Sampler]] = {
    "euler": EulerSampler,
    "ancestral": AncestralSampler,
    "churn": ChurnSampler,
    "dpm++2m": DPMSolver2MSampler,
}


def make_sampler(sampler: str | Sampler | SchedulerMixin | Mapping[str, Any], /, **config: Any) -> Sampler:
    """A sampler from whatever names one.

    Args:
        sampler: a name in `SAMPLERS`; the class name of a diffusers scheduler ("DDIMScheduler"), or the dotted path of
            any scheduler or sampler; a diffusers scheduler, which is wrapped; a `Sampler`, which comes back as it is;
            or a mapping with ``name`` and settings, as in ``configs/sampler``.
        config: settings (``eta=0.5``); for a wrapped scheduler those of its ``__init__`` and ``step``.

    Raises:
        ValueError: if a name or a setting is unknown, or a setting is out of range.
        TypeError: if ``sampler`` is none of these.
    """
    if isinstance(sampler, Mapping):
        settings = dict(sampler)
        if "name" not in settings:
            raise ValueError(
                f"A sampler's settings need a name; got the keys {sorted(settings)}, names are {_names()}."
            )
        return make_sampler(settings.pop("name"), **{**settings, **config})
    if isinstance(sampler, Sampler):
        if config:
            raise ValueError(f"{type(sampler).__name__} is made already; give {sorted(config)} where you make it.")
        return sampler
    if isinstance(sampler, SchedulerMixin):
        return DiffusersSampler.wrap(sampler, **config)
    if not isinstance(sampler, str):
        raise TypeError(f"A sampler is a name ({_names()}), a Sampler or a diffusers scheduler, not {sampler!r}.")
    if sampler in SAMPLERS:
        return _build(sampler, SAMPLERS[sampler], config)
    if "." in sampler or sampler.endswith("Scheduler"):
        found = named_class(sampler)
        return (
            _build(sampler, found, config) if issubclass(found, Sampler) else DiffusersSampler.named(sampler, **config)
        )
    near = get_close_matches(sampler.lower(), SAMPLERS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"There is no sampler {sampler!r}; {hint}Names are {_names()}, and class names of diffusers schedulers, "
        "such as 'DDIMScheduler'."
    )


def sampler_to_dict(sampler: Sampler) -> dict[str, Any]:
    """Plain data, JSON-able, from which `make_sampler` makes the same sampler: its name and its settings."""
    if isinstance(sampler, DiffusersSampler):
        settings = sampler.settings
        name, nested = settings.pop("scheduler"), [settings.pop("settings"), settings.pop("step_settings")]
        return {"name": name, **settings, **(nested[0] or {}), **(nested[1] or {})}
    kind = type(sampler)
    name = next((name for name, known in SAMPLERS.items() if known is kind), f"{kind.__module__}.{kind.__qualname__}")
    return {"name": name, **sampler.settings}


def _build(name: str, kind: type[Sampler], config: dict[str, Any]) -> Sampler:
    check_settings(f"The sampler {name!r}", config, list(parameters(kind.__init__)))
    return kind(**config)


def _names() -> str:
    return ", ".join(SAMPLERS)
