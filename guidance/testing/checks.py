"""The checks of the conformance kit, each on a toy model; see `diffusionlm.guidance.testing`."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

from diffusionlm.diffusion import NoisyText, tensors_of
from diffusionlm.guidance.engine.calls import energy_of, gradient_of
from diffusionlm.guidance.guidance import COSTS, Guidance
from diffusionlm.guidance.registry.plugins import validate
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.guidance.testing.toy import ToyModel
from diffusionlm.text import Vocabulary

Check = Callable[[Guidance], None]
CHECKS: dict[str, Check] = {}
FEW = 4  # denoising steps, where it does not matter how well the text obeys


def _check(function: Check) -> Check:
    CHECKS[function.__name__.removeprefix("check_")] = function
    return function


def _check_both(function: Callable[[Guidance, str], None]) -> Check:
    """A check that is made over a Gaussian model, and over a masked one where the plugin needs no noisy embeddings."""

    @wraps(function)
    def check(plugin: Guidance) -> None:
        function(plugin, "gaussian")
        if "latents" not in (*plugin.reads, *plugin.how.needs):
            function(plugin, "masked")

    return _check(check)


def _bound(plugin: Guidance, model: ToyModel) -> Guidance:
    bound = copy.copy(plugin)
    bound.bind(model.vocabulary)
    return bound


def _same(a: Tensor, b: Tensor, what: str) -> None:
    assert torch.equal(a, b), f"{what}: {a.flatten()[:6].tolist()} and {b.flatten()[:6].tolist()}."


def _same_text(a: NoisyText, b: NoisyText) -> None:
    for (name, value), other in zip(tensors_of(a).items(), tensors_of(b).values(), strict=True):
        _same(value, other, f"{name} of the noisy texts differ")


def _is_exact(plugin: Guidance) -> bool:
    return plugin.how.name == "constraint"


@_check
def check_contract(plugin: Guidance) -> None:
    """The class keeps the contract, as the registry demands."""
    validate(type(plugin), plugin.title)


@_check
def check_default_constructible(plugin: Guidance) -> None:
    """It can be made without settings."""
    type(plugin)()


@_check
def check_documented(plugin: Guidance) -> None:
    """It has a docstring, and a reference where it follows a paper."""
    text = type(plugin).__doc__ or ""
    assert text.strip(), "it has no docstring that says what it does"
    assert len(text.split()) >= 3, (
        f"its docstring {text.strip()!r} is too short to say what it does; write three words or more"
    )
    assert isinstance(plugin.reference, str), f"reference must be text, got {plugin.reference!r}"


@_check
def check_json_round_trip(plugin: Guidance) -> None:
    """Written as JSON and read again it is the same plugin."""
    data = json.loads(json.dumps(plugin.to_dict()))
    again = Guidance.from_dict(data)
    assert type(again) is type(plugin), f"{type(again).__name__} came back"
    assert json.loads(json.dumps(again.to_dict())) == data, f"{again.to_dict()} came back for {data}"
    model = ToyModel()
    state = model.state()
    _same(_bound(again, model).energy(state), _bound(plugin, model).energy(state), "energies before and after differ")


@_check
def check_bind_twice(plugin: Guidance) -> None:
    """Binding again, to the same or another vocabulary, leaves nothing of the first."""
    model = ToyModel()
    last = len(model.vocabulary) - 1
    other = Vocabulary(tuple(reversed(model.vocabulary.surfaces)), last, frozenset({last}))
    state = model.state()
    fresh = _bound(plugin, model).energy(state)
    again = _bound(plugin, model)
    again.bind(model.vocabulary)
    _same(again.energy(state), fresh, "energies after binding twice differ")
    again.bind(other)
    again.bind(model.vocabulary)
    _same(again.energy(state), fresh, "energies after binding to another vocabulary in between differ")


@_check_both
def check_shape_and_dtype(plugin: Guidance, process: str) -> None:
    """The energy is one finite floating-point number for each sample, for any batch, on soft and on hard tokens."""
    model = ToyModel(process=process)
    bound = _bound(plugin, model)
    for rows in (1, 3):
        state = model.state(rows)
        energy_of(bound, state)
        hard = torch.nn.functional.one_hot(state.ids, len(model.vocabulary)).to(model.dtype)
        if not _is_exact(
            plugin
        ):  # the energy of a text that breaks a rule is infinite, and only p of positive mass is met
            energy_of(bound, model.state_of(hard, state.noisy))


@_check
def check_gradient(plugin: Guidance) -> None:
    """The gradient is finite and equals finite differences (in float64 where the energy keeps it)."""
    if not plugin.differentiable:
        return
    model = ToyModel(dtype=torch.float64)
    bound = _bound(plugin, model)
    state = model.state(2)
    of_latents = not {"probs", "clean", "unconditional"} & set(plugin.reads)
    source = (state.latents if of_latents else state.probs).detach()

    def make(value: Tensor) -> GuidanceState:
        return model.state_of(state.probs, value) if of_latents else model.state_of(value, state.noisy)

    with torch.enable_grad():
        leaf = source.clone().requires_grad_()
        seen = make(leaf)
        energy = energy_of(bound, seen)
        gradient = gradient_of(bound, seen, energy, leaf)
    exact = energy.dtype == torch.float64 and _keeps_precision(bound, make, source)
    size, tolerance = (1e-5, 1e-4) if exact else (2e-2, 5e-2)
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        noise = torch.randn(source.shape, generator=generator, dtype=torch.float64)
        direction = noise if of_latents else source * (noise - (source * noise).sum(-1, keepdim=True))
        upper, lower = (bound.energy(make(source + sign * size * direction)).detach().double() for sign in (1, -1))
        measured, stated = (upper - lower) / (2 * size), (gradient * direction).sum((1, 2))
        scale = stated.abs().max().clamp_min(measured.abs().max()).clamp_min(1e-6 if exact else 1e-3)
        error = float((measured - stated).abs().max() / scale)
        assert error < tolerance, f"dE/dq is {stated.tolist()}, finite differences say {measured.tolist()}"


def _keeps_precision(plugin: Guidance, make: Callable[[Tensor], GuidanceState], source: Tensor) -> bool:
    nudged = plugin.energy(make(source * (1 + 1e-10))).detach()
    return bool((nudged != plugin.energy(make(source)).detach()).any())


@_check_both
def check_weight_zero(plugin: Guidance, process: str) -> None:
    """With weight 0 the output is bit for bit that without guidance."""
    model = ToyModel(process=process)
    off = copy.copy(plugin)
    off.weight = 0.0
    plain, guided = model.sample(steps=FEW), model.sample([off], steps=FEW)
    _same(guided.ids, plain.ids, "token ids differ")
    _same_text(guided.noisy, plain.noisy)


@_check_both
def check_outside_window(plugin: Guidance, process: str) -> None:
    """Where its window is never met the output is bit for bit that without guidance; a constraint still holds."""
    model = ToyModel(process=process)
    late = copy.copy(plugin)
    late.window = (0.0, 0.0)
    plain, guided = model.sample(steps=FEW), model.sample([late], steps=FEW)
    if not (_is_exact(plugin) and process == "masked"):  # what is decided on the way must obey from the first step on
        _same_text(guided.noisy, plain.noisy)
    if _is_exact(plugin):
        assert all(all(held.values()) for held in guided.certificates), f"certificates {guided.certificates}"
    else:
        _same(guided.ids, plain.ids, "token ids differ")


@_check_both
def check_no_in_place(plugin: Guidance, process: str) -> None:
    """Nothing in the state is changed."""
    model = ToyModel(process=process)
    bound = _bound(plugin, model)
    state = model.state()
    kept = {name: getattr(state, name).clone() for name in ("probs", "span_mask", "embeddings")}
    noisy = {name: value.clone() for name, value in tensors_of(state.noisy).items()}
    energy_of(bound, state)
    for name, before in kept.items():
        _same(getattr(state, name), before, f"state.{name} was changed")
    for name, before in noisy.items():
        _same(getattr(state.noisy, name), before, f"the noisy text's {name} was changed")
    assert list(state.layouts) == [model.layout] * 3, "state.layouts was changed"


@_check_both
def check_batch_order(plugin: Guidance, process: str) -> None:
    """A sample's energy goes with it when the batch is reordered, and does not depend on the others."""
    model = ToyModel(process=process)
    bound = _bound(plugin, model)
    state = model.state(4)
    whole = bound.energy(state).detach()
    order = [2, 0, 3, 1]
    torch.testing.assert_close(bound.energy(state.select(order)).detach(), whole[order], rtol=1e-4, atol=1e-5)
    if plugin.batch_independent:
        for row in range(4):
            alone = bound.energy(state.select([row])).detach()
            torch.testing.assert_close(alone, whole[row : row + 1], rtol=1e-4, atol=1e-5)


@_check_both
def check_no_state_between_steps(plugin: Guidance, process: str) -> None:
    """What it says of a state does not depend on the states before."""
    model = ToyModel(process=process)
    bound = _bound(plugin, model)
    first = bound.energy(model.state(seed=0)).detach()
    kept = set(vars(bound))
    for seed in range(1, 4):
        bound.energy(model.state(rows=2, seed=seed, gamma=float(seed)))
    _same(bound.energy(model.state(seed=0)).detach(), first, "the energy of one state differs after others")
    assert set(vars(bound)) == kept, (
        f"energy left {sorted(set(vars(bound)) - kept)} on the plugin; pass values along instead"
    )


@_check_both
def check_deterministic(plugin: Guidance, process: str) -> None:
    """Twice the same, and the caller's random numbers are left alone."""
    model = ToyModel(process=process)
    before = torch.random.get_rng_state()
    first, second = (model.sample([plugin], rows=3, steps=FEW) for _ in range(2))
    _same(first.ids, second.ids, "two runs with one seed differ")
    assert torch.equal(before, torch.random.get_rng_state()), "it draws from PyTorch's global generator"
    if plugin.batch_independent:
        shifted = model.sample([plugin], rows=2, seed=1, steps=FEW)
        _same(shifted.ids, first.ids[1:], "a sample depends on the batch it is in")


@_check_both
def check_effect(plugin: Guidance, process: str) -> None:
    """Guided texts have lower energy than unguided ones from the same noise; constraints hold in every text."""
    model = ToyModel(process=process)
    guided = model.sample([plugin], rows=16)
    if _is_exact(plugin):
        assert all(held and all(held.values()) for held in guided.certificates), f"certificates {guided.certificates}"
        return
    bound = _bound(plugin, model)
    plain = model.sample(rows=16)
    with_it, without = (float(model.energies(bound, result).mean()) for result in (guided, plain))
    if with_it == without and plugin.differentiable:  # what it counts is too rare for these texts: ask the posteriors
        with_it, without = (float(model.soft_energies(bound, result).mean()) for result in (guided, plain))
    assert with_it < without, f"the mean energy is {with_it:.4f} with the plugin and {without:.4f} without"


@_check
def check_cost(plugin: Guidance) -> None:
    """It is no slower than the cost class that it declares."""
    if not plugin.cost:
        return
    assert plugin.cost in COSTS, f"cost must be one of {list(COSTS)}, got {plugin.cost!r}"
    took = milliseconds_of(plugin)
    allowed = 3 * COSTS[plugin.cost]  # machines differ
    assert took <= allowed, (
        f"it declares {plugin.cost!r} (up to {COSTS[plugin.cost]} ms) and takes {took:.1f} ms a sample"
    )


def milliseconds_of(plugin: Guidance, rows: int = 4) -> float:
    """Time of one energy with its gradient, per sample."""
    model = ToyModel()
    bound = _bound(plugin, model)
    base = model.state(rows)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with torch.enable_grad():
            leaf = base.probs.detach().clone().requires_grad_()
            energy = bound.energy(model.state_of(leaf, base.noisy))
            if energy.requires_grad:
                energy.sum().backward()
        times.append(time.perf_counter() - began)
    return 1000 * min(times) / rows


def cost_class(milliseconds: float) -> str:
    """The name of a time in `COSTS`."""
    return next((name for name, limit in COSTS.items() if milliseconds <= limit), "unknown")
