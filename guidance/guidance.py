"""`Guidance`: the contract of a plugin. A plugin defines an energy; how it acts on the model is a strategy's business."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from torch import Tensor

from diffusionlm.errors import refuse_unknown
from diffusionlm.guidance import settings as common
from diffusionlm.guidance.strategies.strategy import Strategy, make_strategy
from diffusionlm.registry import origin_of

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.text import Vocabulary

API_VERSION = 1
READS = ("probs", "clean", "latents", "text", "unconditional")
COSTS = {"light": 1.0, "medium": 10.0, "heavy": float("inf")}  # milliseconds for each sample and step, on a CPU core


@dataclass_transform(kw_only_default=False, field_specifiers=(field,))
@dataclass(eq=False, repr=False)
class Guidance:
    """Base of all plugins. A subclass defines `energy`, and settings as annotated attributes, as in a dataclass::

        @register("no-shouting")
        class NoShouting(Guidance):
            \"\"\"Lower the expected number of all-capital tokens.\"\"\"
            least: int = 2

            def bind(self, vocabulary):
                self.shouts = vocabulary.where(lambda text: text.isupper() and len(text) >= self.least)

            def energy(self, state):
                return state.probs[..., self.shouts.to(state.device)].sum((-1, -2))

    The settings below belong to every plugin and are given by keyword. A subclass may give them other defaults.

    Args:
        weight: w in p(x) exp(-w E(x)); 0 takes the plugin out. With a goal it is where the controller starts.
        schedule: factor on the weight over u, a name in `diffusionlm.guidance.settings.SCHEDULES` or a function of u.
        window: (start, end) in u, 1 is noise and 0 clean text; the plugin acts where u lies between them.
        budget: trust region of this plugin: largest mean KL from the unguided posterior per position, in nats, over the whole
            way from noise to text; each of N steps may spend an Nth of it, so that more steps may not spend more. None leaves
            it to the budget that all plugins share.
        priority: where plugins pull against each other, the higher number keeps its direction and is served first.
        below: goal: the measure of every sample shall be at most this.
        above: goal: the measure of every sample shall be at least this.
        attempts: with a goal: a finished text that misses it is written again from other noise and with twice the budget, so
            many times in all, and the best attempt is kept. Texts that meet their goals cost nothing more.
        normalise: scale the energy's gradient to length 1 (root mean square under the posterior) before the weight, for
            energies whose unit means nothing.
        strategy: how it acts: "tilt", "latent", "particles", "constraint", or one of their objects with settings.

    Declared by the class:

    Attributes:
        name: given by the registry.
        api_version: version of this contract that the plugin was written for.
        reads: what `energy` looks at: "probs" (token posterior), "clean" (clean estimate), "latents" (noisy embeddings),
            "text" (decoded text), "unconditional" (the posterior without the prompt).
        differentiable: whether the energy has a gradient; without one only particles can use it.
        batch_independent: whether a sample's energy depends on that sample alone.
        weight_range: the factors on its weight that a goal's controller stays between; (1, ...) for an energy whose gradient
            vanishes by itself where the goal is met.
        reference: the paper and equation it follows, or "" if it is nobody's.
        cost: "light", "medium" or "heavy" if its author promises that much; the kit measures it.
        expected_failures: checks of `diffusionlm.guidance.testing` it fails, and why.
        withheld: names of settings that are never shown, such as secrets; their values say so of themselves.
    """

    name: ClassVar[str | None] = None
    api_version: ClassVar[int] = API_VERSION
    reads: ClassVar[tuple[str, ...]] = ("probs",)
    differentiable: ClassVar[bool] = True
    batch_independent: ClassVar[bool] = True
    weight_range: ClassVar[tuple[float, float]] = (1 / 64, 4096.0)
    reference: ClassVar[str] = ""
    cost: ClassVar[str] = ""
    expected_failures: ClassVar[Mapping[str, str]] = {}
    withheld: ClassVar[tuple[str, ...]] = ()

    weight: float = field(default=1.0, kw_only=True)
    schedule: str | Callable[[float], float] = field(default="constant", kw_only=True)
    window: tuple[float, float] = field(default=(1.0, 0.0), kw_only=True)
    budget: float | None = field(default=None, kw_only=True)
    priority: int = field(default=0, kw_only=True)
    below: float | None = field(default=None, kw_only=True)
    above: float | None = field(default=None, kw_only=True)
    attempts: int = field(default=1, kw_only=True)
    normalise: bool = field(default=False, kw_only=True)
    strategy: str | Strategy = field(default="tilt", kw_only=True)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name in COMMON:  # other defaults of the common settings stay keywords
            if name in cls.__dict__ and not hasattr(cls.__dict__[name], "default_factory"):
                cls.__annotations__ = {**inspect.get_annotations(cls), name: "Any"}
                setattr(cls, name, field(default=cls.__dict__[name], kw_only=True))
        text = cls.__doc__
        own_init = "__init__" in cls.__dict__
        dataclass(eq=False, repr=False)(cls)
        cls.__doc__ = text  # dataclass would make one up
        if not own_init:
            cls.__init__ = _with_suggestions(cls.__init__)  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        common.check_settings(self)

    def bind(self, vocabulary: Vocabulary) -> None:
        """Stores what depends on the tokenizer and on nothing else. Called once before sampling, on a copy of the plugin.

        Args:
            vocabulary: surfaces of the tokens.
        """

    def energy(self, state: GuidanceState) -> Tensor:
        """One number for each sample (B,), lower is better; differentiable in what the plugin declares to read.

        Args:
            state: what there is to look at; nothing in it may be changed.

        Raises:
            TypeError: if a subclass does not define it.
        """
        raise TypeError(f"{type(self).__name__} has no energy; define energy(self, state) -> (B,) tensor.")

    def measure(self, energy: Tensor) -> Tensor:
        """The quantity that `below` and `above` speak about, from the energy (B,) -> (B,); the energy itself by default.

        Whatever the direction of the measure, a lower energy must bring it closer to the goal.
        """
        return energy

    def companions(self) -> Sequence[Guidance]:
        """Other plugins that come with this one wherever it is used, such as the exact part of a soft wish; none by default."""
        return ()

    @classmethod
    def example(cls) -> Guidance:
        """An instance with typical settings, which the conformance kit checks; the defaults unless overridden."""
        return cls()

    # ---- made from settings, and back -------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """Its name in traces and errors."""
        return self.name or type(self).__name__

    @property
    def origin(self) -> str:
        """ "file:line" of what defines it."""
        return origin_of(type(self))

    @property
    def how(self) -> Strategy:
        """The strategy as an object."""
        return make_strategy(self.strategy)

    def settings(self) -> dict[str, Any]:
        """The settings that differ from the defaults."""
        found = {}
        for item in fields(self):
            default = item.default_factory() if item.default_factory is not MISSING else item.default
            value = getattr(self, item.name, default)
            if item.init and value is not default and not _equal(value, default):
                found[item.name] = value
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes the plugin again, ready for JSON.

        Raises:
            TypeError: naming the setting that cannot be written (a lambda, a loaded model).
        """
        encoded = {key: common.encode(value, f"{self.title}.{key}") for key, value in self.settings().items()}
        return {**self.head(), "api_version": self.api_version, **encoded}

    def head(self) -> dict[str, str]:
        """Its name, or where its class stands: the beginning of `to_dict`."""
        return {"name": self.name} if self.name else {"_target_": f"{type(self).__module__}.{type(self).__qualname__}"}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Guidance:
        """The plugin that `to_dict` wrote. Also takes ``{"_target_": "package.Class", ...}`` as Hydra writes it.

        Raises:
            ValueError: if the plugin or a setting is unknown, or it was written for a newer contract.
        """
        from diffusionlm.guidance.registry.configuration import from_mapping

        return from_mapping(data)

    def __repr__(self) -> str:
        inner = ", ".join(f"{key}={_shown(value)}" for key, value in self.settings().items())
        return f"{type(self).__name__}({inner})"


COMMON = tuple(item.name for item in fields(Guidance))


def _with_suggestions(init: Callable[..., None]) -> Callable[..., None]:
    """``init``, which answers a misspelt keyword with the one that was meant."""
    known = [name for name in inspect.signature(init).parameters if name != "self"]

    @wraps(init)
    def checked(self: Guidance, *values: Any, **keywords: Any) -> None:
        refuse_unknown(type(self).__name__, keywords, known)
        init(self, *values, **keywords)

    return checked


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (RuntimeError, ValueError, TypeError):  # tensors and the like
        return False


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 and "\n" not in text else common.describe(value)
