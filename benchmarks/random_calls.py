"""Random calls of a pipeline for `fuzz`: texts with spans, settings and plugins, most of them right and some wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from benchmarks.random_rules import draw_rules
from diffusionlm.guidance import ClassifierFree, Composition, Diverse, Guidance, Latent, Particles, TextScorer, Tilt

if TYPE_CHECKING:
    from torch import Tensor

    from diffusionlm.guidance import GuidanceState
    from diffusionlm.text import Vocabulary

PIECES = [
    "The Mill ",
    "is ",
    "a pub",
    ". ",
    " near the river",
    "café ",
    "£20",
    "\n",
    "  ",
    "🍺",
    "[",
    "]",
    "[SPAN",
    "SPAN]",
]
SPANS = ["[SPAN]", "[SPAN:1]", "[SPAN:3]", "[SPAN:8]"]
ODD_SPANS = ["[SPAN:0]", "[SPAN:999999]", "[SPAN:-1]", "[SPAN:x]", "[CHOICE:pub|bar]", "[CHOICE:]", "[CONCEPT:none]"]
SCORERS = (len, lambda text: text.count("e"), lambda text: float("e" in text))


def mostly(right: st.SearchStrategy[Any], *wrong: Any) -> st.SearchStrategy[Any]:
    """One in about twelve draws is wrong."""
    return st.integers(0, 11).flatmap(lambda k: st.sampled_from(wrong) if k == 0 else right)


def texts() -> st.SearchStrategy[Any]:
    """None, a text with spans, or a list of such."""
    literal = st.one_of(st.sampled_from(PIECES), st.text(max_size=6))
    part = st.one_of(literal, st.sampled_from(SPANS), mostly(st.sampled_from(SPANS), *ODD_SPANS))
    one = st.one_of(st.none(), st.lists(part, min_size=1, max_size=6).map("".join), st.sampled_from(SPANS))
    return st.one_of(one, one, st.lists(one.filter(lambda text: text is not None), max_size=3))


def commons() -> st.SearchStrategy[dict[str, Any]]:
    """Settings that every plugin has."""
    number = st.floats(0, 8, allow_nan=False)
    return st.fixed_dictionaries(
        {},
        optional={
            "weight": mostly(number, float("nan"), float("inf"), -1.0, "heavy"),
            "budget": mostly(number, -0.5, float("nan")),
            "window": mostly(st.sampled_from([(1.0, 0.0), (0.6, 0.0), (1.0, 0.5), (0.3, 0.3)]), (0.0, 1.0), 3, "all"),
            "schedule": mostly(st.sampled_from(["constant", "linear"]), "lineal", 7),
            "below": mostly(number, float("nan"), "low"),
            "attempts": mostly(st.integers(1, 3), 0, 1.5),
            "priority": mostly(st.integers(-2, 2), "first"),
            "normalise": st.booleans(),
        },
    )


@st.composite
def plugins(draw: st.DrawFn) -> Callable[[], Any]:
    """Makes a plugin, a rule or two, or something that is none; a mistake in its settings is raised where it is made."""
    kind, settings = draw(st.integers(0, 9)), draw(commons())
    if kind <= 4:
        seed = draw(st.integers(0, 2**32 - 1))
        return lambda: draw_rules(random.Random(seed))[1]
    if kind == 5:
        how, scorer = draw(st.sampled_from([Particles(2), Particles(3, every=2)])), draw(st.sampled_from(SCORERS))
        return lambda: TextScorer(scorer, strategy=how, **settings)
    if kind == 6:
        n = draw(mostly(st.integers(1, 4), 0, "two"))
        return lambda: Diverse(n=n, **settings)
    if kind == 7:
        how = draw(st.sampled_from(["tilt", Tilt(2), Latent(), "latent", "constraint", "particles", "none"]))
        return lambda: Vowels(strategy=how, **settings)
    if kind == 8:
        return lambda: ClassifierFree(**settings)
    given = draw(
        st.sampled_from(["diverse", "lenght", "length", 7, "", {"phrases": {"include": ["pub"]}}, {"x": 1}, len])
    )
    return lambda: given


class Vowels(Guidance):
    """Wants many tokens that begin with a vowel."""

    def bind(self, vocabulary: Vocabulary) -> None:
        """Finds them."""
        self.tokens = vocabulary.where(lambda text: text[:1] in "aeiou")

    def energy(self, state: GuidanceState) -> Tensor:
        """Positions without them (B,)."""
        return (state.span_mask * (1 - state.probs[..., self.tokens].sum(-1))).sum(-1)


@st.composite
def guidance(draw: st.DrawFn) -> Callable[[], Any]:
    """Makes nothing, one plugin, several, or a `Composition`."""
    made = draw(st.lists(plugins(), max_size=3))
    if not made:
        return lambda: None
    limits = draw(
        st.none()
        | st.fixed_dictionaries(
            {"budget": mostly(st.floats(0, 4), -1.0, "much"), "total": mostly(st.floats(0, 9), -1.0)}
        )
    )

    def make() -> Any:
        given = [own() for own in made]
        found = [part for own in given for part in (own if isinstance(own, list) else [own])]
        return found if limits is None else Composition(found, **limits)

    return make


def settings() -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of a call beside text and guidance."""
    samplers = ["ancestral", "churn", "euler", "dpm++2m", "DDIMScheduler"]
    return st.fixed_dictionaries(
        {
            "steps": mostly(st.integers(1, 4), 0, -1, 2.5, "8", True),
            "seed": mostly(st.integers(0, 9), -1, 1.5, [1], "x"),
        },
        optional={
            "prompt": mostly(st.sampled_from(["", "name[The Mill]", "x"]), 5, "\ud800"),
            "num_samples": mostly(st.integers(1, 3), 0, 1.5, "2"),
            "sampler": mostly(st.sampled_from(samplers), "euclid", "unmasking", 3, {"name": "churn", "churn": 2.0}),
            "temperature": mostly(st.floats(0.2, 2.0), 0, -1, float("nan"), float("inf"), "warm"),
            "max_length": mostly(st.integers(1, 40), 0, 10**6, "12"),
            "max_span_length": mostly(st.integers(1, 20), 0, 10**6, 2.5),
            "batch_size": mostly(st.integers(1, 4), 0, "all"),
            "best_of": mostly(st.integers(1, 3), 0, 1.5),
            "fluency": mostly(st.floats(0, 1), -1, 2, "high"),
        },
    )


def calls() -> st.SearchStrategy[tuple[Any, dict[str, Any], Callable[[], Any]]]:
    """(text, settings, maker of the guidance)."""
    return st.tuples(texts(), settings(), guidance())
