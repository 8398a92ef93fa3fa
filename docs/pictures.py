"""The pictures of the pages, from the bundled weights: python docs/pictures.py [--out docs/images] [--steps 32]

Needs matplotlib (extra ``plots``). The same weights give the same files.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from diffusionlm import DiffusionLMPipeline
from diffusionlm.diffusion import CosineSchedule, SquareRootSchedule
from diffusionlm.guidance import Composition, FunctionGuidance, Phrases

STYLE = {
    "svg.hashsalt": "diffusionlm",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
TEAL, GREY, RED = "#00796b", "#9e9e9e", "#c62828"


def denoising(pipe: DiffusionLMPipeline, steps: int) -> Figure:
    """The likeliest token of each position over the steps, darker where the model is surer."""
    prompt = "name[The Mill], food[Italian], area[riverside]"
    states: list[Any] = list(pipe.stream(prompt=prompt, steps=steps, seed=12, max_length=16))[:-1]
    shown = [states[i] for i in sorted({round(k * (steps - 1) / 7) for k in range(8)})]
    figure = Figure(figsize=(8, 0.32 * len(shown) + 0.5))
    axes = figure.add_axes((0.11, 0.02, 0.88, 0.96))
    axes.set(xlim=(0, 100), ylim=(len(shown) - 0.4, -0.6))
    axes.axis("off")
    for row, state in enumerate(shown):
        tokens, certainty = (batch[0] for batch in state.best_tokens())
        axes.text(-1, row, f"step {state.step + 1}", ha="right", va="center", color=GREY)
        x = 0.0
        for token, sure in zip(tokens, certainty, strict=True):
            token = token or "·"  # padding
            shade = 0.15 + 0.85 * sure
            axes.text(x, row, token.strip() or "␣", va="center", family="monospace", color=TEAL, alpha=shade)
            x += 1.18 * (len(token.strip() or " ") + 1)
    return figure


def noise_schedule(pipe: DiffusionLMPipeline, steps: int) -> Figure:
    """Left: noise level over progress for three schedules. Right: where the learned one puts its steps, and why."""
    schedule: Any = pipe.schedule
    u = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    named = {
        "learned": (schedule, TEAL),
        "cosine": (CosineSchedule(), GREY),
        "square root": (SquareRootSchedule(), RED),
    }
    for name, (each, colour) in named.items():
        left.plot(u.numpy(), each.gamma(u).numpy(), label=name, color=colour)
    left.set(xlabel="progress u (sampling walks from 1 to 0)", ylabel="noise level γ")
    left.legend(frameon=False)
    gamma = torch.linspace(schedule.gamma_min, schedule.gamma_max, 400, dtype=torch.float64)

    def unresolved(g: torch.Tensor) -> torch.Tensor:
        return torch.exp(-torch.exp(-(g - schedule.mu) / schedule.beta))

    right.plot(gamma.numpy(), unresolved(gamma).numpy(), color=TEAL)
    grid = schedule.gamma(schedule.steps(16))
    right.vlines(grid.numpy(), 0, unresolved(grid).numpy(), color=GREY, linewidth=0.8)
    right.set(xlabel="noise level γ", ylabel="uncertainty left, share of H")
    right.invert_xaxis()
    return figure


def posterior(pipe: DiffusionLMPipeline, steps: int) -> Figure:
    """The token posterior of one gap over the steps: several words compete until one remains."""
    text = "The Mill serves [SPAN:2] food near the river."
    states: list[Any] = list(pipe.stream(text, steps=steps, seed=0, sampler="euler"))[:-1]
    probs = torch.stack([state.log_probs[0, -1].exp() for state in states])  # (steps, V)
    leading = probs.max(0).values.topk(6).indices
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.subplots()
    gammas = [state.gamma for state in states]
    for token in leading.tolist():
        axes.plot(gammas, probs[:, token].numpy(), label=pipe.tokenizer.vocabulary.strings[token].strip())
    axes.set(xlabel="noise level γ", ylabel="probability of the second token", title=text, ylim=(0, 1.02))
    axes.invert_xaxis()
    axes.legend(frameon=False, loc="center left")
    return figure


def tilt(pipe: DiffusionLMPipeline, steps: int) -> Figure:
    """One position before and after a tilt, at the same step and from the same noise."""
    text, unwanted = "The Mill is a [SPAN:1] pub near the river.", {"cheap", "family"}

    def energy(state: Any) -> torch.Tensor:
        return state.probs[..., state.vocabulary.where(lambda t: t.strip() in unwanted)].sum((-1, -2))

    def first(guidance: Any) -> torch.Tensor:
        state: Any = next(pipe.stream(text, steps=steps, seed=4, guidance=guidance))
        return state.log_probs[0, 0].exp()

    p, q = first(None), first(Composition([FunctionGuidance(energy, weight=2.0)], budget=None, total=None))
    shown = p.topk(10).indices.tolist()
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    axes.bar(places - 0.2, p[shown].numpy(), 0.4, color=GREY, label="model p")
    axes.bar(places + 0.2, q[shown].numpy(), 0.4, color=TEAL, label="tilted q, weight 2 against 'cheap' and 'family'")
    axes.set_xticks(places, [pipe.tokenizer.vocabulary.strings[token].strip() for token in shown])
    axes.set(ylabel="probability", title=text)
    axes.legend(frameon=False)
    return figure


def automaton(pipe: DiffusionLMPipeline, steps: int) -> Figure:
    """Where a word that must occur will stand: its probability at each position, over the steps."""
    text, word = "The Mill [SPAN:9].", "Italian"
    which = pipe.tokenizer.vocabulary.where(lambda token: token.strip() == word)

    def places(guidance: Any) -> torch.Tensor:
        states: list[Any] = list(pipe.stream(text, steps=steps, seed=2, guidance=guidance))[:-1]
        return torch.stack([state.log_probs[0].exp()[:, which].sum(-1) for state in states])  # (steps, L)

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    rule = Phrases(include=[word])
    for axes, guidance, title in zip(panels, (None, [rule]), ("model alone", f"must contain '{word}'"), strict=True):
        image = axes.imshow(places(guidance).numpy(), aspect="auto", cmap="BuGn", vmin=0, vmax=1)
        axes.set(xlabel="position in the gap", title=title)
    panels[0].set_ylabel("step")
    figure.colorbar(image, ax=panels, label=f"probability of '{word}'")
    return figure


PICTURES: dict[str, Callable[[DiffusionLMPipeline, int], Figure]] = {
    "denoising": denoising,
    "noise-schedule": noise_schedule,
    "posterior": posterior,
    "tilt": tilt,
    "automaton": automaton,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Writes all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}; all if none is given")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--steps", type=int, default=32)
    arguments = parser.parse_args(argv)
    unknown = set(arguments.names) - set(PICTURES)
    if unknown:
        parser.error(f"there is no picture {sorted(unknown)}; there are {', '.join(PICTURES)}")
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    pipe.set_progress_bar_config(disable=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for name in arguments.names or PICTURES:
            path = arguments.out / f"{name}.svg"
            figure = PICTURES[name](pipe, arguments.steps)
            figure.savefig(path, metadata={"Date": None, "Creator": "docs/pictures.py"}, facecolor="white")
            print(path)


if __name__ == "__main__":
    main()
