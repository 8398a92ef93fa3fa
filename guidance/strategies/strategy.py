"""`Strategy`: how an energy acts on a model. The base of all, and the one place where a string becomes one.

A strategy is one file: its settings, and what it does at a step. All plugins of a step that have one kind of strategy act
together, in the order that the kinds declare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

from diffusionlm.errors import suggestion
from diffusionlm.registry import Registry

if TYPE_CHECKING:
    from diffusionlm.guidance.engine.session import GuidanceSession
    from diffusionlm.guidance.engine.step import Step
    from diffusionlm.guidance.guidance import Guidance

STRATEGIES = Registry("strategy", "diffusionlm.guidance.strategies", "STRATEGIES.register")


@dataclass(frozen=True)
class Strategy:
    """How a plugin's energy acts on the model. A subclass has settings, is frozen, and defines `act`.

    Attributes:
        name: given by the registry.
        order: of its turn within a step: what moves the noisy text comes first, what must hold comes after what is wished.
        needs: what a model must offer, of `diffusionlm.denoiser.contract.OFFERS`.
        needs_gradient: whether the energy must be differentiable.
        reference: as in `Guidance`.
    """

    name: ClassVar[str] = ""
    order: ClassVar[int] = 50
    needs: ClassVar[tuple[str, ...]] = ()
    needs_gradient: ClassVar[bool] = True
    reference: ClassVar[str] = ""

    @classmethod
    def act(cls, session: GuidanceSession, step: Step, plugins: Sequence[tuple[str, Guidance]]) -> None:
        """Changes a step for the active plugins of this kind.

        Args:
            session: of the batch; states, weights and the record are made by it.
            step: posterior and noisy text as they stand; changed in place.
            plugins: name in the trace, and plugin.

        Raises:
            TypeError: if a subclass does not define it.
        """
        raise TypeError(f"{cls.__name__} does nothing; define the classmethod act(session, step, plugins).")

    def check(self, plugin: Guidance) -> None:
        """Raises ValueError if the plugin cannot be used this way."""
        if self.needs_gradient and not plugin.differentiable:
            raise ValueError(
                f"{plugin.title!r} declares that it is not differentiable, and the strategy {self.name!r} needs gradients; "
                "use strategy='particles', which needs none."
            )

    def to_dict(self) -> Any:
        """Its name, or a mapping of name and settings where these are not the defaults."""
        own = asdict(self)
        return self.name if self == type(self)() else {"name": self.name, **own}


def make_strategy(strategy: str | Strategy | Mapping[str, Any]) -> Strategy:
    """A strategy from its name, from ``{"name": ..., settings}``, or as it is.

    Raises:
        ValueError: if the name or a setting is unknown.
    """
    if isinstance(strategy, Strategy):
        return strategy
    if isinstance(strategy, Mapping) and "name" in strategy:
        settings = dict(strategy)
        kind = STRATEGIES.find(settings.pop("name"))
        unknown = set(settings) - set(kind.__dataclass_fields__)
        if unknown:
            name = sorted(unknown)[0]
            hint = suggestion(name, kind.__dataclass_fields__)
            raise ValueError(f"The strategy {kind.name!r} has no setting {name!r}; {hint}")
        return kind(**settings)
    if isinstance(strategy, str):
        return STRATEGIES.find(strategy)()
    raise ValueError(f"A strategy is a name ({', '.join(STRATEGIES)}) or one of their objects, not {strategy!r}.")


def check_count(kind: str, name: str, value: Any) -> None:
    """Raises ValueError unless a setting is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{kind}.{name} must be a whole number of at least 1, got {value!r}.")
