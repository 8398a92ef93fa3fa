"""Calling a plugin: whatever it does wrong is caught here and named, with the step, and nothing else is harmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import Tensor

from diffusionlm.diffusion import tensors_of
from diffusionlm.errors import GuidanceError

if TYPE_CHECKING:
    from diffusionlm.guidance.guidance import Guidance
    from diffusionlm.guidance.state import GuidanceState


_compared: WeakSet[Guidance] = WeakSet()


def place(plugin: Guidance, state: GuidanceState) -> str:
    """The plugin, where it stands, and when."""
    when = f"step {state.step} of {state.num_steps}" if state.step < state.num_steps else "the finished text"
    return f"The guidance plugin {plugin.title!r} ({plugin.origin}), at {when} (u = {state.u:.3f})"


def energy_of(plugin: Guidance, state: GuidanceState) -> Tensor:
    """The energy of every row (B,), checked.

    Raises:
        GuidanceError: if the plugin raises, changes what it was given, or returns anything but B finite numbers.
    """
    watched = {"probs": state.probs, "span_mask": state.span_mask}
    watched |= {"latents" if name == "z" else name: value for name, value in tensors_of(state.noisy).items()}
    if state._embeddings is not None:
        watched["embeddings"] = state._embeddings
    before = {name: tensor._version for name, tensor in watched.items()}
    # a version does not tell of what goes through .data or numpy(): the first call of each plugin is compared by value
    kept = {} if plugin in _compared else {name: tensor.detach().clone() for name, tensor in watched.items()}
    try:
        energy = plugin.energy(state)
    except GuidanceError:
        raise
    except Exception as error:
        hint = ""
        if "in-place" in str(error) or "inplace" in str(error):
            hint = " A plugin may not change the state; work on a clone."
        elif _expected_text(plugin, error):
            hint = f" If it is a function of the text, give TextScorer({plugin.title})."
        raise GuidanceError(f"{place(plugin, state)}, raised {type(error).__name__}: {error}{hint}") from error
    changed = [name for name, tensor in watched.items() if tensor._version != before[name]]
    changed += [name for name, value in kept.items() if not torch.equal(watched[name].detach(), value)]
    _compared.add(plugin)
    if changed:
        raise GuidanceError(
            f"{place(plugin, state)}, changed state.{changed[0]} in place; the state belongs to all plugins: work on a clone."
        )
    return check_numbers(plugin, state, energy, "energy")


def _expected_text(plugin: Guidance, error: Exception) -> bool:
    """Whether a bare function failed because it was given a state where it expected a text."""
    from diffusionlm.guidance.registry.function_plugin import FunctionGuidance

    of_text = isinstance(error, AttributeError | TypeError) and "GuidanceState" in str(error)
    return of_text and isinstance(plugin, FunctionGuidance)


def check_numbers(plugin: Guidance, state: GuidanceState, value: Any, what: str) -> Tensor:
    """Whether a plugin returned B finite numbers.

    Raises:
        GuidanceError: if not.
    """
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise GuidanceError(f"{place(plugin, state)}, returned {kind} as {what}; it must be a tensor of shape (B,).")
    if value.shape != (state.batch_size,):
        raise GuidanceError(
            f"{place(plugin, state)}, returned the {what} of shape {tuple(value.shape)}; it must be ({state.batch_size},): "
            "one number for each sample, so sum over positions and tokens but not over the batch."
        )
    if not value.is_floating_point():
        raise GuidanceError(f"{place(plugin, state)}, returned the {what} in {value.dtype}; it must be floating point.")
    if value.device != state.device:
        raise GuidanceError(
            f"{place(plugin, state)}, returned the {what} on {value.device}, and the state is on {state.device}; move what "
            "bind stores to state.device."
        )
    finite = torch.isfinite(value.detach())
    if not bool(finite.all()):
        rows = torch.nonzero(~finite).flatten().tolist()
        raise GuidanceError(
            f"{place(plugin, state)}, returned a NaN or infinite {what} for rows {rows[:8]}: {value.detach()[rows[0]].item()}. "
            "Logarithms of zero and divisions by zero are the usual causes; clamp what goes into them."
        )
    return value


def gradient_of(
    plugin: Guidance, state: GuidanceState, energy: Tensor, source: Tensor, retain_graph: bool = False
) -> Tensor:
    """dE/dsource, of the shape of ``source``; ``retain_graph`` where another plugin's energy shares the graph.

    Raises:
        GuidanceError: if the energy does not depend on it, or the gradient is not finite.
    """
    gradient = None
    if energy.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(energy.sum(), source, allow_unused=True, retain_graph=retain_graph)
        except RuntimeError as error:
            raise GuidanceError(f"{place(plugin, state)}, could not be differentiated: {error}") from error
    if gradient is None:
        raise GuidanceError(
            f"{place(plugin, state)}, returned an energy that does not depend differentiably on what the strategy "
            f"{plugin.how.name!r} steers; remove .detach(), argmax and torch.no_grad, or use strategy='particles'."
        )
    low, high = gradient.aminmax()  # one pass, NaN goes through; isfinite would write a tensor of this size
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise GuidanceError(
            f"{place(plugin, state)}, has an energy whose gradient is NaN or infinite; square roots and logarithms at zero "
            "are the usual causes."
        )
    return gradient
