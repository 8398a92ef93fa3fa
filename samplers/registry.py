"""The one place where a string becomes a sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffusers.schedulers.scheduling_utils import SchedulerMixin

from diffusionlm.errors import suggestion
from diffusionlm.registry import Registry
from diffusionlm.samplers.lookup import check_settings, named_class, parameters

if TYPE_CHECKING:
    from diffusionlm.samplers.sampler import Sampler

SAMPLERS = Registry("sampler", "diffusionlm.samplers", "SAMPLERS.register")
DEFAULT_SAMPLERS = {"gaussian": "ancestral", "masked": "unmasking", "uniform": "renoising"}


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
    from diffusionlm.samplers.gaussian.diffusers_adapter import DiffusersSampler
    from diffusionlm.samplers.sampler import Sampler

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
    raise ValueError(
        f"There is no sampler {sampler!r}; {suggestion(sampler, SAMPLERS)} Class names of diffusers schedulers, such as "
        "'DDIMScheduler', serve too."
    )


def check_process(sampler: Sampler, process: str) -> None:
    """Refuses a sampler that moves another kind of noise than a model has.

    Raises:
        ValueError: naming the samplers that fit.
    """
    if sampler.process == process:
        return
    fitting = [name for name in SAMPLERS if SAMPLERS[name].process == process]
    raise ValueError(
        f"The sampler {type(sampler).__name__} is for {sampler.process} noise, and this model is {process}; use one of: "
        f"{', '.join(fitting)}."
    )


def sampler_to_dict(sampler: Sampler) -> dict[str, Any]:
    """Plain data, JSON-able, from which `make_sampler` makes the same sampler: its name and its settings."""
    from diffusionlm.samplers.gaussian.diffusers_adapter import DiffusersSampler

    if isinstance(sampler, DiffusersSampler):
        settings = sampler.settings
        name, nested = settings.pop("scheduler"), [settings.pop("settings"), settings.pop("step_settings")]
        return {"name": name, **settings, **(nested[0] or {}), **(nested[1] or {})}
    kind = type(sampler)
    name = SAMPLERS.name_of(kind) or f"{kind.__module__}.{kind.__qualname__}"
    return {"name": name, **sampler.settings}


def _build(name: str, kind: type[Sampler], config: dict[str, Any]) -> Sampler:
    check_settings(f"The sampler {name!r}", config, list(parameters(kind.__init__)))
    return kind(**config)


def _names() -> str:
    return ", ".join(SAMPLERS)
