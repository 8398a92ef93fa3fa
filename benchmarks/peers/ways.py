"""All ways to write that are compared, ours among them; what they need is trained when first asked for, and kept."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers import fudge, pplm, token_masking
from benchmarks.peers.autoregressive import Peer
from benchmarks.peers.diffusion_lm import LENGTH as POSITIONS
from benchmarks.peers.diffusion_lm import DiffusionLM
from benchmarks.peers.e2e_sentences import words_as_given
from benchmarks.peers.goals import CONTENT, Goal, Sentence
from benchmarks.peers.masked_diffusion import MaskedDiffusion
from benchmarks.peers.noisy_classifier import ends_at, guide, train_reader
from benchmarks.peers.short_training import Trained
from benchmarks.peers.words import WordCode, start_from
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.record import checkpoint_facts, settings_key
from diffusionlm.guidance import UnsatisfiableConstraint

Call = Callable[[list[Any], int], list[str]]  # a text for each of the targets, from a seed
Made = tuple[Call, dict[str, Trained]]
RECIPE = "Diffusion-LM's recipe"


class Ways:
    """All ways to write for one goal; what they need is trained when first asked for, and kept."""

    def __init__(
        self, options: argparse.Namespace, pipe: DiffusionLMPipeline, peer: Peer, goal: Goal, sentences: list[Sentence]
    ) -> None:
        self.options, self.pipe, self.peer, self.goal = options, pipe, peer, goal
        self.sentences = sentences
        self.words = words_as_given(options.data / "train.txt")
        self.code = WordCode(self.words)
        self.keep = options.out / "peers" / "trained"

    def file(self, name: str, **about: Any) -> Path:
        """Where a trained part is kept: under what it depends on but not how long it was trained."""
        facts = {"sha256": checkpoint_facts(self.options.model)["sha256"], "seed": self.options.seed}
        return self.keep / f"{name}-{settings_key({**facts, 'sentences': len(self.words), **about})}.pt"

    def ours(self, steps: int) -> Made:
        """The goal as an exact rule, compiled anew for every target."""

        def call(targets: list[Any], seed: int) -> list[str]:
            texts: list[str] = []
            for target in dict.fromkeys(targets):
                own = {"num_samples": targets.count(target), "steps": steps, "seed": seed + len(texts)}
                try:
                    texts += self.pipe(**own, guidance=self.goal.guidance(target)).texts
                except UnsatisfiableConstraint as error:  # written without guidance, and judged like all others
                    print(f"refused: {str(error)[:200]}", flush=True)
                    texts += self.pipe(**own).texts
            return texts

        return call, {}

    def plain(self, n: int = 1) -> Made:
        """The autoregressive model, and the best of n by the goal's own ranking."""

        def call(targets: list[Any], seed: int) -> list[str]:
            written = fudge.sample(self.peer, len(targets) * n, seed=seed)
            if n == 1:
                return written
            groups = [written[i * n : (i + 1) * n] for i in range(len(targets))]
            ranked = self.goal.ranked
            return [
                max(group, key=lambda text: ranked(target, text)) for target, group in zip(targets, groups, strict=True)
            ]

        return call, {}

    def fudge(self) -> Made:
        """A classifier of prefixes."""
        keep = self.file("fudge", goal=self.goal.name, targets=self._targets(), peer=self.options.peer.name)
        model, trained = fudge.train_classifier(
            self.peer, self.goal, self.sentences, self.options.classifier_seconds, self.options.seed, keep
        )
        strength = self.options.strength
        return (
            lambda targets, seed: fudge.sample(
                self.peer, len(targets), model, self.goal, targets, strength=strength, seed=seed
            ),
            {"classifier": trained},
        )

    def pplm(self) -> Made | None:
        """Gradients into the cache."""
        keep = self.file("pplm", goal=self.goal.name, targets=self._targets(), peer=self.options.peer.name)
        made = pplm.train_discriminator(
            self.peer, self.goal, self.sentences, self.options.classifier_seconds, self.options.seed, keep
        )
        if made is None:
            return None
        head, trained = made
        return lambda targets, seed: pplm.sample(self.peer, head, self.goal, targets, seed=seed), {
            "classifier": trained
        }

    def masking(self) -> Made | None:
        """Tokens that an automaton cannot accept."""
        if self.goal.language(self.goal.targets[0]) is None:
            return None

        def call(targets: list[Any], seed: int) -> list[str]:
            texts: list[str] = []
            for target in dict.fromkeys(targets):
                language = self.goal.language(target)
                assert language is not None  # asked above
                texts += token_masking.sample(self.peer, language, targets.count(target), seed=seed + len(texts))
            return texts

        return call, {}

    def diffusion(self, kind: Any, **settings: Any) -> Made:
        """A diffusion peer with its classifier."""
        options, name = self.options, kind.__name__
        model = kind.create(self.pipe.denoiser.config, self.code, options.seed)
        start = "scratch" if options.from_scratch else "ours"
        if not options.from_scratch:
            start_from(self.pipe.denoiser, self.pipe.tokenizer, self.code, model.denoiser)
        keep = self.file(f"{name}-network", start=start)
        common = {"seed": options.seed, "bfloat16": options.train_bfloat16}
        trained = {"network": model.train(self.words, options.train_seconds, keep=keep, **common)}
        # a reader of latents belongs to the embeddings it was trained on
        about = {
            "goal": self.goal.name,
            "targets": self._targets(),
            "network": trained["network"].steps,
            "start": start,
        }
        keep = self.file(f"{name}-reader", **about)
        reader, facts = train_reader(
            self.goal,
            self.sentences,
            model.shown,
            model.size,
            POSITIONS,
            options.classifier_seconds,
            keep=keep,
            **common,
        )
        if facts:
            trained["classifier"] = facts

        def call(targets: list[Any], seed: int) -> list[str]:
            own = guide(reader, self.goal, targets, POSITIONS), ends_at(self.goal, targets, POSITIONS)
            return model.sample(len(targets), *own, seed=seed, **settings)

        return call, trained

    def _targets(self) -> list[Any]:
        return list(self.goal.targets) if self.goal.name == CONTENT else []

    def all(self) -> dict[str, tuple[bool, Callable[[], Made | None]]]:
        """For each way whether it is slow, and what makes it."""
        steps, recipe = self.options.steps, self.options.recipe_steps
        return {
            **{ours(n): (False, lambda n=n: self.ours(n)) for n in steps},
            "autoregressive, plain": (False, self.plain),
            "autoregressive, best of 8": (False, lambda: self.plain(8)),
            "autoregressive, FUDGE": (False, self.fudge),
            "autoregressive, PPLM": (True, self.pplm),
            "autoregressive, masked tokens": (False, self.masking),
            "masked diffusion, classifier": (False, lambda: self.diffusion(MaskedDiffusion, steps=max(steps))),
            RECIPE: (True, lambda: self.diffusion(DiffusionLM, steps=recipe)),
        }


def ours(steps: int) -> str:
    """Name of our row."""
    return f"ours, exact, {steps} steps"
