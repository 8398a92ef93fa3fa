"""The conformance kit finds what it is there to find: a plugin with one planted fault fails that check."""

from dataclasses import field

import pytest
import torch

from diffusionlm.guidance import FunctionGuidance, Guidance
from diffusionlm.guidance.testing import CHECKS, check_guidance, examine, run_check


class Sound(Guidance):
    """Counts the first few words."""

    words: int = 3

    def bind(self, vocabulary):
        self.tokens = list(range(1, 1 + self.words))

    def energy(self, state):
        return state.probs[..., self.tokens].sum((1, 2))


class NeedsArgument(Sound):
    """Cannot be made without settings."""

    needed: int = field(kw_only=True)


class Undocumented(Sound):
    words: int = 4


class Forgets(Sound):
    """Does not survive JSON."""

    scale: object = None

    def __post_init__(self):
        super().__post_init__()
        self.scale = self.scale or torch.nn.Identity()


class Accumulates(Sound):
    """Binding again adds to the first."""

    tokens = ()

    def bind(self, vocabulary):
        self.tokens = [*self.tokens, 2]


class WrongShape(Sound):
    """One number for the batch."""

    def energy(self, state):
        return super().energy(state).sum()


class WrongGradient(Sound):
    """Its gradient is not that of its energy."""

    def energy(self, state):
        value = super().energy(state)
        return value + (2 * value - (2 * value).detach())


class Mutates(Sound):
    """Changes the latents."""

    def energy(self, state):
        state.latents.mul_(1.0)
        return super().energy(state)


class Mixes(Sound):
    """One sample's energy depends on the others."""

    def energy(self, state):
        value = super().energy(state)
        return value - value.mean()


class Remembers(Sound):
    """Keeps something between steps."""

    def energy(self, state):
        self.seen = getattr(self, "seen", 0) + 1
        return super().energy(state) * self.seen


class Random(Sound):
    """Draws from the global generator."""

    def energy(self, state):
        return super().energy(state) * (1 + torch.rand(()))


class Backwards(Sound):
    """Its gradient points the wrong way."""

    def energy(self, state):
        value = super().energy(state)
        return 2 * value.detach() - value


class Slow(Sound):
    """Slower than it promises."""

    cost = "light"

    def energy(self, state):
        import time

        time.sleep(0.05)
        return super().energy(state)


class Opinionated(Sound):
    """Says no check it fails."""

    expected_failures = {"shape": "typo"}


def test_a_sound_plugin_passes_every_check():
    report = check_guidance(Sound())
    assert report.passed == list(CHECKS)
    assert report.cost == "light"
    assert "holds   gradient" in str(report)


@pytest.mark.parametrize(
    ("plugin", "check"),
    [
        (NeedsArgument(needed=1), "default_constructible"),
        (Undocumented(), "documented"),
        (Forgets(), "json_round_trip"),
        (Accumulates(), "bind_twice"),
        (WrongShape(), "shape_and_dtype"),
        (WrongGradient(), "gradient"),
        (Mutates(), "no_in_place"),
        (Mixes(), "batch_order"),
        (Remembers(), "no_state_between_steps"),
        (Random(), "deterministic"),
        (Backwards(weight=5.0), "effect"),
        (Slow(), "cost"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Guidance) else value,
)
def test_a_planted_fault_is_found(plugin, check):
    with pytest.raises(AssertionError, match=f"{plugin.title} fails {check}"):
        run_check(plugin, check)


def test_an_examination_names_every_fault_and_does_not_time_the_plugin():
    report = examine(WrongShape())
    assert "shape_and_dtype" in report.failed
    assert "documented" in report.passed
    assert "not timed" in str(report)
    assert "FAILS   shape_and_dtype" in str(report)


def test_a_short_docstring_is_quoted_rather_than_denied():
    plugin = Sound()
    type(plugin).__doc__, kept = "Fewer tokens.", Sound.__doc__
    try:
        with pytest.raises(AssertionError, match=r"its docstring 'Fewer tokens.' is too short"):
            run_check(plugin, "documented")
    finally:
        Sound.__doc__ = kept


def test_expected_failures_are_excused_with_their_reason_and_must_fail():
    reasons = dict.fromkeys(("batch_order", "gradient", "effect"), "ranks its batch")
    report = check_guidance(Mixes(), reasons)
    assert report.expected["batch_order"] == "ranks its batch"
    with pytest.raises(AssertionError, match="expected to fail"):
        check_guidance(Sound(), {"gradient": "not really"})
    with pytest.raises(AssertionError, match="expected to fail"):
        run_check(Sound(), "gradient", {"gradient": "not really"})
    with pytest.raises(ValueError, match="names no check: 'shape'"):
        check_guidance(Opinionated())
    with pytest.raises(ValueError, match="no check 'gradients'; did you mean 'gradient'"):
        run_check(Sound(), "gradients")


@pytest.mark.parametrize("strategy", ["latent", "particles"])
def test_plugins_conform_under_other_strategies(strategy):
    check_guidance(Sound(strategy=strategy, weight=5.0))


def test_names_classes_functions_and_constraints_can_be_checked():
    def shorter(state):
        """Fewer words."""
        return state.probs[..., 1:].sum((1, 2))

    excused = {"default_constructible": "wraps a function", "json_round_trip": "defined in a test"}
    check_guidance(FunctionGuidance(shorter), excused)
    assert check_guidance(Sound).plugin == Sound().title
    run_check("length", "shape_and_dtype")  # every check of every registered plugin: test_conformance
