"""`BoundAutomaton`: what can be asked of constraints on one canvas."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionlm.guidance.automata.alphabet import Ints
from diffusionlm.guidance.automata.inference import ForwardBackward, uniforms
from diffusionlm.guidance.automata.over_tokens import TokenAutomaton


class UnsatisfiableConstraint(ValueError):
    """No text on the canvas (or none of positive probability) satisfies the constraints.

    Example:
        >>> pipe("One two [SPAN:1].", guidance=Length(words=9))  # doctest: +SKIP
        Traceback (most recent call last):
        diffusionlm.guidance.automata.bound.UnsatisfiableConstraint: ...
    """


class Conditioned(NamedTuple):
    """A factorised distribution under the condition that a rule holds.

    Attributes:
        marginals: log p(x_i = v | accepted) (B, L, V).
        log_partition: log p(accepted) (B,), in nats.
        divergence: KL of the marginals from the given distribution at each position (B, L), in nats.
    """

    marginals: Tensor
    log_partition: Tensor
    divergence: Tensor


class BoundAutomaton:
    """Constraints bound to one canvas: exact inference over the canvases they accept. Make one with `bind`.

    Shapes: B samples, L span positions, V vocabulary. `log_p` (B, L, V) holds natural log-probabilities of independent
    token distributions; they need not be normalised, may be -inf and lie thousands of nats apart. Tokens that the
    canvas does not allow count as -inf.

    Attributes:
        names: the constraints.
        num_states: states of the automaton of all constraints on this canvas.
        num_classes: classes of tokens that it tells apart.
        length: L.
        num_tokens: V.
    """

    def __init__(
        self, engine: ForwardBackward, automata: Sequence[TokenAutomaton], literals: Sequence[str], span_index: Ints
    ) -> None:
        self.names = tuple(automaton.name for automaton in automata)
        self.num_states, self.length, self.num_tokens = engine.num_states, engine.length, engine.num_tokens
        self.num_classes = engine.num_classes
        self._engine = engine
        self._automata = tuple(automata)
        self._literals = tuple(literals)
        self._span_index = span_index

    def to(self, device: torch.device | str) -> "BoundAutomaton":
        """Move the tables to a device; the methods take tensors of that device."""
        self._engine.to(torch.device(device))
        return self

    def log_partition(self, log_p: Tensor) -> Tensor:
        """log of the total probability of the accepted canvases: (B, L, V) -> (B,), -inf where it is zero.

        Differentiable once: the gradient is the posterior marginals (the identity d log Z / d log p = p(x_i |
            accepted)).
        """
        self._check(log_p)
        result: Tensor = _LogPartition.apply(log_p, self)
        if not (result < torch.inf).all():
            self._possible(result)
        return result

    def posterior_marginals(self, log_p: Tensor) -> Tensor:
        """log p(x_i = v | the canvas is accepted): (B, L, V) -> (B, L, V), -inf where it cannot be. No gradient.

        Raises:
            UnsatisfiableConstraint: a sample has no accepted canvas of positive probability.
        """
        return self.posterior(log_p).marginals

    def posterior(self, log_p: Tensor) -> "Conditioned":
        """The distribution under the condition that the canvas is accepted, from log_p (B, L, V). No gradient.

        Raises:
            UnsatisfiableConstraint: a sample has no accepted canvas of positive probability.
        """
        self._check(log_p)
        marginals, log_z, divergence = self._marginals(log_p)
        self._possible(log_z)
        return Conditioned(marginals.to(log_p.dtype), log_z, divergence)

    def viterbi(self, log_p: Tensor) -> Tensor:
        """The most probable accepted canvas: (B, L, V) -> token ids (B, L).

        Raises:
            UnsatisfiableConstraint: a sample has no accepted canvas of positive probability.
        """
        self._check(log_p)
        ids, best = self._engine.best(log_p)
        self._possible(best)
        return ids

    def sample(
        self, log_p: Tensor, generator: torch.Generator | Sequence[torch.Generator] | Tensor | None = None
    ) -> Tensor:
        """An exact sample of p(x | accepted): (B, L, V) -> token ids (B, L).

        Args:
            log_p: natural log-probabilities.
            generator: one for the batch, or a list of one for each row, so that a row does not depend on its batch; or
                uniform numbers (B, L) in [0, 1).

        Raises:
            UnsatisfiableConstraint: a sample has no accepted canvas of positive probability.
        """
        self._check(log_p)
        log_z, after = self._engine.backward(self._labels(log_p))
        self._possible(log_z)
        if not isinstance(generator, Tensor):
            generator = uniforms(len(log_p), self.length, generator, log_p.device)
        return self._engine.walk(log_p, after, generator)

    def accepts(self, ids: Tensor) -> Tensor:
        """Whether token ids (B, L) satisfy all constraints and the rules of the canvas -> (B,) bool."""
        return self._engine.accepts(ids)

    def check(self, ids: Tensor) -> dict[str, Tensor]:
        """For certificates: each constraint by itself, on token ids (B, L) -> {name: (B,) bool}."""
        tokens = ids.detach().cpu().numpy()
        verdicts = {}
        for automaton in self._automata:
            begin = read_all(automaton, self._literals[: self._span_index[0] + 1])[automaton.start]
            state = np.full(len(tokens), begin, dtype=np.int64)
            for i in range(self.length):
                moved = automaton.delta[state, automaton.token_class[tokens[:, i]]]
                state = np.where(tokens[:, i] == automaton.pad_id, state, moved)
                known = literals_after(self._span_index, self._literals, i)
                state = read_all(automaton, known)[state].astype(np.int64) if known else state
            verdicts[automaton.name] = torch.from_numpy(automaton.accepting[state]).to(ids.device)
        return verdicts

    def _labels(self, log_p: Tensor) -> Tensor:
        return self._engine.label_weights(self._engine.class_masses(self._engine.rows(log_p)), len(log_p))

    def _marginals(self, log_p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        engine, batch = self._engine, len(log_p)
        rows = engine.rows(log_p)
        classes = engine.class_masses(rows)
        ratios, log_z = engine.ratios(classes, batch)
        return engine.marginals(rows, ratios, batch), log_z, engine.divergence(classes, ratios, batch)

    def _check(self, log_p: Tensor) -> None:
        if log_p.dim() != 3 or log_p.shape[1:] != (self.length, self.num_tokens) or not log_p.is_floating_point():
            raise ValueError(
                f"log_p must be a floating-point tensor of shape (B, {self.length}, {self.num_tokens}); got "
                f"{log_p.dtype} of shape {tuple(log_p.shape)}."
            )

    def _possible(self, log_z: Tensor) -> None:
        if torch.isfinite(log_z).all():
            return
        rows = torch.nonzero(~torch.isfinite(log_z)).flatten().tolist()
        if not (log_z < torch.inf).all():
            raise ValueError(f"log_p holds NaN or +inf (samples {rows[:8]}); log-probabilities are numbers or -inf.")
        raise UnsatisfiableConstraint(
            f"Every text that satisfies {named(self.names)} has probability zero in samples {rows[:8]}: log_p is -inf "
            "on a token that all of them need. Truncate the token distributions less, or relax the constraint."
        )


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, log_p: Tensor, bound: BoundAutomaton) -> Tensor:
        engine = bound._engine
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            marginals, log_z, _ = bound._marginals(log_p)
            ctx.save_for_backward(marginals.exp_().to(log_p.dtype))
        else:
            log_z, _ = engine.backward(bound._labels(log_p))
        return log_z.to(torch.promote_types(log_p.dtype, torch.float32))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        (marginals,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return marginals * grad[:, None, None].to(marginals.dtype), None


def literals_after(spans: Ints, literals: Sequence[str], position: int) -> Sequence[str]:
    """Known texts that stand between a position and the next one (or the end)."""
    following = spans[position + 1] if position + 1 < len(spans) else len(literals) - 1
    return literals[spans[position] + 1 : following + 1]


def read_all(automaton: TokenAutomaton, texts: Sequence[str]) -> NDArray[np.int32]:
    """The map (S,) of states under several known texts in a row."""
    states = np.arange(automaton.num_states, dtype=np.int32)
    for text in texts:
        states = automaton.read(text)[states]
    return states


def named(names: Sequence[str]) -> str:
    """Names of constraints for an error message."""
    return " and ".join(f"[{name}]" for name in names)
