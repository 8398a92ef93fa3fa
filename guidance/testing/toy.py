"""A toy diffusion model for the conformance kit: independent tokens with a known prior, no network.

Its posterior is exact, log p(x_i = v | z) = prior_v + (alpha / sigma²) <z_i, e_v> + const, so whatever a plugin does shows
without the noise of a trained model, in milliseconds and in any precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.diffusion import Draws, NoisyEmbeddings, NoisyText, NoisyTokens, Posterior
from diffusionlm.guidance.engine.composition import compose
from diffusionlm.guidance.engine.trace import Trace
from diffusionlm.guidance.state import GuidanceState
from diffusionlm.text import Vocabulary

_TEXT = (
    "The A the a pub food is was and not near by good bad cheap very NEVER Mill Eagle river I you he it serves Italian "
    "friendly family children hello call write 555 1234 42 0 7 jane doe damn stupid lovely fine"
)
_WORDS = _TEXT.split()
_PIECES = ["s", "ed", ".", ",", "!", "-", "@", "com", "1", "5", "é", "X"]


def toy_vocabulary() -> Vocabulary:
    """Some sixty tokens: words with their space, endings, digits, punctuation; token 0 is pad."""
    surfaces = [b""] + [f" {word}".encode() for word in _WORDS] + [piece.encode() for piece in _PIECES]
    return Vocabulary(tuple(surfaces), 0, frozenset({0}))


def _cut(text: str) -> list[int]:
    surfaces = toy_vocabulary().strings
    ids = []
    while text:
        found = [i for i, surface in enumerate(surfaces) if surface and text.startswith(surface)]
        if not found:
            raise ValueError(f"The toy vocabulary has no token for {text!r}; write known text with its words: {_TEXT}.")
        ids.append(max(found, key=lambda i: len(surfaces[i])))
        text = text[len(surfaces[ids[-1]]) :]
    return ids


@dataclass(frozen=True)
class ToyLayout:
    """One span of ``length`` positions that may end early, between two known texts; see `diffusionlm.spans.CanvasLayout`."""

    before: str = ""
    after: str = ""
    length: int = 8

    @property
    def canvas(self) -> Any:
        """Known texts."""
        return SimpleNamespace(literals=(self.before, self.after))

    @property
    def internal_literals(self) -> tuple[str, ...]:
        """Known texts as the model sees them."""
        lead = self.before.removesuffix(" ")
        return (f" {lead}" if lead else ""), self.after

    @property
    def known_ids(self) -> Tensor:
        """(K,) the known texts in tokens of `toy_vocabulary`, longest first."""
        return torch.tensor([*_cut(self.internal_literals[0]), *_cut(self.after)], dtype=torch.long)

    @property
    def known_positions(self) -> Tensor:
        """(K,) before the span and behind it."""
        lead = len(_cut(self.internal_literals[0]))
        places = [i if i < lead else i + self.length for i in range(len(self.known_ids))]
        return torch.tensor(places, dtype=torch.long)

    @property
    def span_positions(self) -> Tensor:
        """(L,) behind the first known text."""
        return torch.arange(self.length) + len(_cut(self.internal_literals[0]))

    @property
    def span_index(self) -> Tensor:
        """(L,) zeros: one span."""
        return torch.zeros(self.length, dtype=torch.long)

    @property
    def open_mask(self) -> Tensor:
        """(L,) all true."""
        return torch.ones(self.length, dtype=torch.bool)

    @property
    def first_mask(self) -> Tensor:
        """(L,) the first position."""
        return torch.arange(self.length) == 0

    def allowed(self, vocabulary: Vocabulary) -> Tensor:
        """(L, V): the first token opens a word, pad only behind it."""
        allowed = torch.ones(self.length, len(vocabulary), dtype=torch.bool)
        allowed[:, list(vocabulary.special_ids)] = False
        allowed[0] &= vocabulary.starts_with_space
        allowed[1:, vocabulary.pad_id] = True
        return allowed

    def span_ids(self, ids: Sequence[int], pad_id: int) -> list[list[int]]:
        """Ids of the span, cut at the first pad."""
        ids = list(ids)
        return [ids[: ids.index(pad_id)] if pad_id in ids else ids]

    def assemble(self, ids: Sequence[int], vocabulary: Vocabulary) -> tuple[str, list[str]]:
        """The text and the span's part of it."""
        written = vocabulary.decode(self.span_ids(ids, vocabulary.pad_id)[0]).removeprefix(" ")
        return self.before + written + self.after, [written]


@dataclass(frozen=True)
class ToyResult:
    """What sampling gave.

    Attributes:
        ids: (B, L).
        texts: of each sample.
        noisy: the noisy texts after the last step.
        certificates: of each sample.
        trace: what guidance did, None without.
        posteriors: (guided) posterior (B, L, V) and noisy text of each step.
    """

    ids: Tensor
    texts: list[str]
    noisy: NoisyText
    certificates: list[dict[str, bool]]
    trace: Trace | None
    posteriors: list[tuple[Tensor, NoisyText]]

    @property
    def latents(self) -> Tensor:
        """Noisy embeddings after the last step (B, L, D)."""
        return self.noisy.z  # type: ignore[attr-defined]


@dataclass
class ToyModel:
    """The toy model.

    Args:
        vocabulary: its tokens.
        layout: its canvas.
        dtype: of all tensors.
        dim: D.
        process: "gaussian", or "masked": hidden positions have the prior, decided ones their token.
    """

    vocabulary: Vocabulary = field(default_factory=toy_vocabulary)
    layout: ToyLayout = field(default_factory=ToyLayout)
    dtype: torch.dtype = torch.float32
    dim: int = 16
    process: str = "gaussian"

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(7)
        size = len(self.vocabulary)
        draws = torch.randn(size, self.dim + 2, generator=generator, dtype=torch.float64)
        self.embeddings = (F.normalize(draws[:, : self.dim], dim=-1) * self.dim**0.5).to(self.dtype)
        self.prior, self.plain_prior = draws[:, -2].to(self.dtype), draws[:, -1].to(self.dtype)
        self.allowed = self.layout.allowed(self.vocabulary)

    @property
    def offers(self) -> frozenset[str]:
        """What guidance may read, as a `diffusionlm.denoiser.DiffusionModel` says it."""
        common = frozenset({"probs", "text", "clean", "unconditional"})
        return common | {"latents"} if self.process == "gaussian" else common

    def log_posterior(self, noisy: NoisyText | Tensor, gamma: float, plain: bool = False) -> Tensor:
        """Noisy text, or noisy embeddings (B, L, D), -> log posterior (B, L, V)."""
        prior = self.plain_prior if plain else self.prior
        if isinstance(noisy, NoisyTokens):
            logits = prior.expand(*noisy.ids.shape, -1).masked_fill(~self.allowed, -torch.inf)
            decided = F.one_hot(noisy.ids, len(self.vocabulary)).bool() | noisy.undecided[..., None]
            return logits.masked_fill(~decided, -torch.inf).log_softmax(-1)
        z = noisy if isinstance(noisy, Tensor) else noisy.z  # type: ignore[attr-defined]
        level = torch.tensor(gamma, dtype=torch.float64)
        strength = float((-level).sigmoid().sqrt() / level.sigmoid())
        logits = prior + strength * z @ self.embeddings.T
        return logits.masked_fill(~self.allowed, -torch.inf).log_softmax(-1)

    def start(self, seeds: Sequence[int], copies: int) -> tuple[NoisyText, Draws]:
        """Pure noise for rows of these seeds, candidates of a sample side by side; and their random numbers."""
        draws = Draws(
            seeds, [i % copies for i in range(len(seeds))], [self.layout.length] * len(seeds), torch.device("cpu")
        )
        mask = torch.ones(len(seeds), self.layout.length, dtype=torch.bool)
        if self.process == "masked":
            return NoisyTokens(torch.zeros(mask.shape, dtype=torch.long), mask, mask), draws
        return NoisyEmbeddings(draws.normal(self.dim).to(self.dtype), mask), draws

    def state(self, rows: int = 3, gamma: float = 1.0, seed: int = 0) -> GuidanceState:
        """A state in the middle of sampling."""
        generator = torch.Generator().manual_seed(1000 + seed)
        z = torch.randn(rows, self.layout.length, self.dim, generator=generator, dtype=torch.float64).to(self.dtype)
        if self.process == "gaussian":
            return self.state_of(self.log_posterior(z, gamma).exp(), z, gamma)
        mask = torch.ones(rows, self.layout.length, dtype=torch.bool)
        # all hidden: tokens that are decided at random would break the rules of most plugins
        noisy = NoisyTokens(torch.zeros(mask.shape, dtype=torch.long), mask, mask)
        return self.state_of(self.log_posterior(noisy, gamma).exp(), noisy, gamma)

    def state_of(self, probs: Tensor, noisy: NoisyText | Tensor, gamma: float = 1.0) -> GuidanceState:
        """The state of a posterior (B, L, V) and a noisy text, or noisy embeddings (B, L, D)."""
        mask = torch.ones(probs.shape[:2], dtype=torch.bool)
        if isinstance(noisy, Tensor):
            noisy = NoisyEmbeddings(noisy, mask)
        layouts: Any = [self.layout] * len(probs)
        with torch.no_grad():
            plain = self.log_posterior(noisy, gamma, True)
        return GuidanceState(
            probs, noisy, gamma, 0.5, 4, 8, layouts, mask, self.vocabulary, self.embeddings, lambda: plain
        )

    def sample(self, guidance: Any = None, rows: int = 6, steps: int = 8, seed: int = 0) -> ToyResult:
        """Writes ``rows`` texts as the pipeline does, by ancestral steps or by unmasking in random order; row j has the seed
        ``seed + j``."""
        layout: Any = self.layout
        steering = compose(guidance, self.vocabulary, self.offers) if guidance is not None else None
        copies = 1 if steering is None else steering.particles
        seeds = [seed + row for row in range(rows) for _ in range(copies)]
        noisy, draws = self.start(seeds, copies)
        session = None
        if steering is not None:
            steering.check([layout], [self.allowed])
            mask = torch.ones(len(seeds), layout.length, dtype=torch.bool)
            allowed = [self.allowed] * len(seeds)
            session = steering.begin([layout] * len(seeds), allowed, mask, self.embeddings, seeds, steps, self.process)
        posteriors = []
        with torch.no_grad():
            for i in range(steps):
                u, following = 1 - i / steps, 1 - (i + 1) / steps
                gamma, below = (12.0 * progress - 6.0 for progress in (u, following))
                posterior = Posterior(self.log_posterior(noisy, gamma), self.embeddings)
                if session is not None:
                    posterior = guided = session.guide(
                        posterior.log_probs,
                        noisy,
                        gamma,
                        u,
                        i,
                        lambda text, plain=False, g=gamma: self.log_posterior(text, g, plain),
                    )
                    noisy = guided.noisy
                posteriors.append((posterior.log_probs.exp(), noisy))
                noisy = self._move(posterior, noisy, draws, below, last=i + 1 == steps)
        ids = noisy.ids if isinstance(noisy, NoisyTokens) else posterior.best()
        chosen = list(range(len(seeds)))
        certificates: list[dict[str, bool]] = [{} for _ in seeds]
        if session is not None:
            chosen, certificates = session.report(ids, self.dtype)
        texts = [layout.assemble(ids[row].tolist(), self.vocabulary)[0] for row in chosen]
        held = [certificates[row] for row in chosen]
        trace = None if session is None else session.trace
        return ToyResult(ids[chosen], texts, noisy.select(torch.tensor(chosen)), held, trace, posteriors)

    def _move(self, posterior: Posterior, noisy: NoisyText, draws: Draws, gamma: float, last: bool) -> NoisyText:
        level = torch.tensor(gamma, dtype=torch.float64)
        if isinstance(noisy, NoisyTokens):
            ids = torch.where(noisy.undecided, posterior.draw(draws.uniform()), noisy.ids)
            stay = noisy.undecided & (draws.uniform() < (0.0 if last else float(level.sigmoid())))
            return NoisyTokens(ids, stay, noisy.used)
        alpha, sigma = float((-level).sigmoid().sqrt()), float(level.sigmoid().sqrt())
        z = alpha * (posterior.log_probs.exp() @ self.embeddings) + sigma * draws.normal(self.dim).to(self.dtype)
        return NoisyEmbeddings(z, noisy.undecided)

    def soft_energies(self, plugin: Any, result: ToyResult) -> Tensor:
        """The energy of the posteriors of all steps (steps, B) under a bound plugin."""
        return torch.stack([plugin.energy(self.state_of(probs, noisy)).detach() for probs, noisy in result.posteriors])

    def energies(self, plugin: Any, result: ToyResult) -> Tensor:
        """The energy of finished texts (B,) under a bound plugin."""
        probs = F.one_hot(result.ids, len(self.vocabulary)).to(self.dtype)
        return plugin.energy(self.state_of(probs, result.noisy, 12.0)).detach()
