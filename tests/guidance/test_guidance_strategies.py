"""What the strategies compute, against formulas and closed solutions."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from diffusionlm.diffusion import NoisyEmbeddings
from diffusionlm.guidance import (
    ClassifierFree,
    Composition,
    FunctionGuidance,
    Latent,
    Particles,
    Phrases,
    Regex,
    TextScorer,
    Tilt,
    compose,
)
from diffusionlm.guidance.engine.composition import BUDGET
from diffusionlm.guidance.engine.trust_region import TOLERANCE, largest_step, mean_kl, tilted
from diffusionlm.guidance.goals import GoalController
from diffusionlm.guidance.strategies.particles import ParticleFilter, systematic
from diffusionlm.guidance.testing.toy import ToyModel

MODEL = ToyModel(dtype=torch.float64)
WORD = 7


def linear(state):
    return state.probs[..., WORD].sum(-1)


def opposite(state):
    return -state.probs[..., WORD].sum(-1)


def quadratic(state):
    return 3.0 * (state.probs[..., WORD].sum(-1) - 2.0) ** 2


def step_of(guidance, model=MODEL, rows=4, gamma=2.0, step=0, u=0.5, num_steps=1):
    """One guided step from the same noise: (session, unguided log p, what guide gave)."""
    steering = guidance if hasattr(guidance, "begin") else compose(guidance, model.vocabulary)
    count = rows * steering.particles
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(count, model.layout.length, model.dim, generator=generator, dtype=torch.float64).to(model.dtype)
    log_p = model.log_posterior(z, gamma)
    allowed = model.allowed.expand(count, -1, -1)
    mask = torch.ones(allowed.shape[:2], dtype=torch.bool)
    seeds = [row // steering.particles for row in range(count)]
    session = steering.begin([model.layout] * count, allowed, mask, model.embeddings, seeds, num_steps)
    denoise = lambda x, plain=False: model.log_posterior(x, gamma, plain)  # noqa: E731
    with torch.no_grad():
        return session, log_p, session.guide(log_p, NoisyEmbeddings(z, mask), gamma, u, step, denoise)


def kl(log_q, log_p):
    ratio = torch.where(torch.isfinite(log_p), log_q - log_p, 0.0)
    return (log_q.exp() * ratio).sum(-1).mean(-1)


# ---- tilt -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner_steps", [1, 2, 5])
def test_the_tilt_is_exact_for_an_energy_that_is_linear_in_the_tokens(inner_steps):
    plugin = FunctionGuidance(linear, weight=2.0, strategy=Tilt(inner_steps=inner_steps))
    _, log_p, guided = step_of(Composition([plugin], budget=None))
    expected = log_p.clone()
    expected[..., WORD] -= 2.0
    torch.testing.assert_close(guided.log_probs, expected.log_softmax(-1))


def test_inner_steps_approach_the_minimum_of_energy_and_divergence():
    """For a nonlinear energy the minimiser satisfies log q = log p - dE/dq(q) + const."""

    def residual(steps):
        plugin = FunctionGuidance(quadratic, strategy=Tilt(inner_steps=steps))
        _, log_p, guided = step_of(Composition([plugin], budget=None))
        q = guided.log_probs
        pull = 6.0 * (q[..., WORD].exp().sum(-1) - 2.0)
        fixed = log_p.clone()
        fixed[..., WORD] -= pull[:, None]
        return float((fixed.log_softmax(-1).exp() - q.exp()).abs().max())

    assert residual(60) < 0.02 < residual(1)


def test_classifier_free_guidance_is_the_formula_of_the_paper():
    _, log_p, guided = step_of(Composition([ClassifierFree(weight=1.5)], budget=None))
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(4, MODEL.layout.length, MODEL.dim, generator=generator, dtype=torch.float64)
    plain = MODEL.log_posterior(z, 2.0, plain=True)
    mixed = torch.where(torch.isfinite(log_p), 2.5 * log_p - 1.5 * plain.nan_to_num(neginf=0.0), -math.inf)
    torch.testing.assert_close(guided.log_probs, mixed.log_softmax(-1))


def test_normalised_gradients_make_the_unit_of_the_energy_irrelevant():
    a = FunctionGuidance(linear, normalise=True, weight=0.3)
    b = FunctionGuidance(lambda state: 1000.0 * linear(state), normalise=True, weight=0.3)
    torch.testing.assert_close(step_of(a)[2].log_probs, step_of(b)[2].log_probs)


def test_only_span_positions_are_moved():
    model = ToyModel(dtype=torch.float64)
    steering = compose(FunctionGuidance(linear, weight=3.0), model.vocabulary)
    log_p = model.log_posterior(torch.zeros(2, 8, 16, dtype=torch.float64), 2.0)
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[1, 5:] = False
    session = steering.begin([model.layout] * 2, model.allowed.expand(2, -1, -1), mask, model.embeddings, [0, 1], 4)
    guided = session.guide(
        log_p, NoisyEmbeddings(torch.zeros(2, 8, 16, dtype=torch.float64), mask), 2.0, 0.5, 0, None
    ).log_probs
    torch.testing.assert_close(guided[1, 5:], log_p[1, 5:])
    assert (guided[1, :5, WORD] < log_p[1, :5, WORD]).all()


# ---- trust region ---------------------------------------------------------------------------------------------------


def test_the_step_uses_the_budget_and_never_more():
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 3.0, 50.0, 1e4):
        log_p = (3 * torch.randn(16, 6, 40, generator=generator, dtype=torch.float64)).log_softmax(-1)
        tilt = scale * torch.randn(16, 6, 40, generator=generator, dtype=torch.float64)
        mask = torch.rand(16, 6, generator=generator) < 0.8
        mask[:, 0] = True
        budget = torch.rand(16, generator=generator, dtype=torch.float64) + 1e-3
        step, spent = largest_step(log_p, tilt, budget, mask)
        cost = mean_kl(log_p, tilt * step[:, None, None], mask)
        torch.testing.assert_close(spent, cost)
        assert (cost <= budget * (1 + 1e-9)).all()
        assert ((step == 1) | (cost >= (1 - TOLERANCE - 1e-9) * budget)).all()
        direct = (kl_of(tilted(log_p, tilt * step[:, None, None]), log_p) * mask).sum(-1) / mask.sum(-1)
        torch.testing.assert_close(cost, direct, atol=1e-8, rtol=1e-6)


def kl_of(log_q, log_p):
    return (log_q.exp() * (log_q - log_p)).sum(-1)


def test_a_budget_of_zero_leaves_everything_as_it_was():
    _, log_p, guided = step_of(Composition([FunctionGuidance(linear, weight=100.0)], budget=0.0))
    torch.testing.assert_close(guided.log_probs, log_p)


def test_guidance_stays_within_the_budget_however_large_the_weight():
    for budget in (0.01, 0.3):
        _, log_p, guided = step_of(Composition([FunctionGuidance(opposite, weight=1e6)], budget=budget))
        assert (kl(guided.log_probs, log_p) <= budget * 1.001).all()
        _, log_p, guided = step_of(Composition([FunctionGuidance(opposite, weight=1e6, budget=budget)], budget=None))
        assert (kl(guided.log_probs, log_p) <= budget * 1.001).all()


def test_the_total_cap_ends_guidance_when_it_is_spent():
    result = MODEL.sample(Composition([FunctionGuidance(opposite, weight=1e6)], budget=1.6, total=0.5), steps=8)
    spent = {}
    for record in result.trace.records():
        spent[record["sample"]] = spent.get(record["sample"], 0.0) + record["kl_total"]
    assert len(spent) == 6
    assert all(0.45 <= total <= 0.5001 for total in spent.values())


# ---- several plugins ------------------------------------------------------------------------------------------------


def test_each_plugin_spends_its_own_budget_and_a_default_one_where_it_names_none():
    wide = FunctionGuidance(opposite, weight=1e6, budget=6.4)
    plain = FunctionGuidance(opposite, weight=1e6)
    for plugins, limit in (
        ([plain], BUDGET),
        ([wide], 6.4),
        ([wide, plain], 6.4),
        (Composition([wide], budget=0.2), 0.2),
    ):
        _, log_p, guided = step_of(plugins)
        spent = kl(guided.log_probs, log_p)
        assert (spent <= limit * 1.001).all()
        assert (spent >= limit * 0.9).all()
    steering = compose([wide, plain], MODEL.vocabulary)
    assert [plugin.budget for plugin in steering.plugins] == [6.4, BUDGET]
    assert plain.budget is None
    with pytest.raises(ValueError, match="budget must be a number"):
        Composition([], budget="wide")


def test_equal_opposite_plugins_cancel_and_are_reported():
    a, b = FunctionGuidance(linear, weight=2.0), FunctionGuidance(opposite, weight=2.0)
    session, log_p, guided = step_of([a, b])
    torch.testing.assert_close(guided.log_probs, log_p)
    (conflict,) = session.trace.conflicts
    assert conflict.plugins == ("linear", "opposite")
    assert conflict.cosine == pytest.approx(-1.0)
    assert "pull against each other" in str(conflict)


def test_plugins_that_merely_differ_are_in_no_conflict():
    """A few steps of some texts are below the threshold, as by chance; the mean is what counts."""
    from diffusionlm.guidance.engine.trace import CONFLICT, BatchTrace, Trace

    batch = BatchTrace([None] * 4, MODEL.vocabulary, 1)
    for step in range(10):
        batch.cosines.append((("a", "b"), np.full(4, -0.6 if step < 2 else 0.075)))  # mean -0.06
        batch.cosines.append((("a", "c"), np.full(4, CONFLICT - 0.01)))
    (conflict,) = Trace([batch]).conflicts
    assert conflict.plugins == ("a", "c")
    assert conflict.share == 1.0


def test_a_composition_in_a_list_is_read_as_its_plugins_unless_it_has_limits():
    inner, other = FunctionGuidance(linear), FunctionGuidance(opposite)
    assert compose([Composition([inner]), other], MODEL.vocabulary).names == ["linear", "opposite"]
    alone = compose([Composition([inner], budget=0.3, total=2.0)], MODEL.vocabulary)
    assert (alone.names, alone.budget, alone.total) == (["linear"], 0.3, 2.0)
    for limits in ({"budget": 0.3}, {"total": 2.0}):
        for given in ([Composition([inner], **limits), other], [other, [Composition([inner], **limits)]]):
            with pytest.raises(ValueError, match=r"its limits are of all plugins together; put all of them into one"):
                compose(given, MODEL.vocabulary)
        with pytest.raises(ValueError, match=r"A Composition \(linear\) with a budget or total"):
            Composition(Composition([inner], **limits))


def test_the_higher_priority_keeps_its_direction():
    first, second = FunctionGuidance(linear, weight=2.0, priority=1), FunctionGuidance(opposite, weight=5.0)
    _, _, alone = step_of(Composition([first], budget=None))
    _, _, both = step_of(Composition([second, first], budget=None))
    torch.testing.assert_close(both.log_probs, alone.log_probs)


def test_the_higher_priority_is_served_first_when_the_budget_is_short():
    def other(state):
        return -state.probs[..., WORD + 1].sum(-1)

    first, second = FunctionGuidance(opposite, weight=50.0, priority=1), FunctionGuidance(other, weight=50.0)
    _, _, alone = step_of(Composition([first], budget=0.3))
    _, _, both = step_of(Composition([second, first], budget=0.3))
    torch.testing.assert_close(both.log_probs, alone.log_probs, atol=0.1, rtol=0.05)


def test_plugins_of_one_name_are_told_apart_in_the_trace():
    session, _, _ = step_of([FunctionGuidance(linear), FunctionGuidance(linear, weight=2.0)])
    assert {record["plugin"] for record in session.trace.records()} == {"linear", "linear#2"}


def test_a_constraint_holds_whatever_the_tilts_want():
    def hates_rivers(state):
        river = state.vocabulary.strings.index(" river")
        return state.probs[..., river].sum(-1)

    result = MODEL.sample([FunctionGuidance(hates_rivers, weight=1e4), Phrases(include=["river"])], rows=8)
    assert all("river" in text for text in result.texts)
    assert any(set(conflict.plugins) == {"hates_rivers", "constraints"} for conflict in result.trace.conflicts)


def test_the_marginals_of_a_constraint_are_those_of_all_obeying_texts():
    """Against enumeration, on a canvas of three positions."""
    from diffusionlm.guidance.testing.toy import ToyLayout
    from diffusionlm.text import Vocabulary

    small = Vocabulary((b"", b" a", b" b", b"c"), 0, frozenset({0}))
    model = ToyModel(small, ToyLayout("", "", 3), torch.float64)
    rule = Regex(require="b")
    session, log_p, guided = step_of([rule], model, rows=2)
    total = torch.zeros(2, dtype=torch.float64)
    marginals = torch.zeros_like(log_p)
    for ids in np.ndindex(4, 4, 4):
        closed = [token == 0 for token in ids]
        if any(a and not b for a, b in pairwise(closed)):
            continue
        if "b" in model.layout.assemble(ids, small)[0]:
            weight = log_p[:, range(3), ids].sum(-1).exp()
            total += weight
            for i, token in enumerate(ids):
                marginals[:, i, token] += weight
    torch.testing.assert_close(guided.log_probs.exp(), marginals / total[:, None, None])
    energies = [record["energy"] for record in session.trace.records()]
    np.testing.assert_allclose(energies, -total.log().numpy(), rtol=1e-6)


# ---- latent gradient ------------------------------------------------------------------------------------------------


def test_the_latent_step_lowers_the_energy_within_the_trust_region():
    def far(state):
        return (state.clean - state.embeddings[WORD]).square().mean((1, 2))

    for gamma in (6.0, 2.0, -1.0):
        plugin = FunctionGuidance(far, weight=20.0, strategy="latent")
        session, log_p, guided = step_of(Composition([plugin], budget=0.1), gamma=gamma)
        assert (kl(guided.log_probs, log_p) <= 0.1001).all()
        before, after = (float(far(MODEL.state_of(x.exp(), guided.noisy.z)).sum()) for x in (log_p, guided.log_probs))
        assert after < before
        torch.testing.assert_close(guided.log_probs, MODEL.log_posterior(guided.noisy.z, gamma))
        assert session.trace.records()[0]["kl"] <= 0.1001


def test_an_energy_of_the_noisy_embeddings_needs_no_pass_through_the_denoiser():
    class Noisy(FunctionGuidance):
        """Reads the latents."""

        reads = ("latents",)
        strategy = "latent"

    plugin = Noisy(lambda state: state.latents.square().mean((1, 2)))
    _, _, guided = step_of(plugin)
    z = step_of(FunctionGuidance(linear, weight=1e-12))[2].noisy.z
    assert (guided.noisy.z.square().sum((1, 2)) < z.square().sum((1, 2))).all()
    with pytest.raises(ValueError, match="not the token posterior.*strategy='latent'"):
        Noisy(linear, strategy="tilt")


def test_a_latent_step_that_never_fits_is_given_up():
    plugin = FunctionGuidance(opposite, weight=1e9, strategy=Latent(halvings=1))
    _, log_p, guided = step_of(Composition([plugin], budget=1e-9))
    torch.testing.assert_close(guided.log_probs, log_p)


# ---- particles ------------------------------------------------------------------------------------------------------


def test_systematic_resampling_keeps_each_candidate_as_often_as_its_weight_says():
    rng = np.random.default_rng(0)
    for _ in range(50):
        weights = rng.dirichlet(np.ones(8))
        counts = np.bincount(systematic(weights, rng.random()), minlength=8)
        assert counts.sum() == 8
        assert (np.abs(counts - 8 * weights) < 1).all()


def test_candidates_are_resampled_only_where_few_carry_the_weight():
    particles = ParticleFilter(4, 0.5, [0] * 4 + [1] * 4, torch.device("cpu"))
    rows = particles.update(torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 9.0]))
    assert rows.tolist() == [0, 1, 2, 3, 7, 7, 7, 7]
    assert particles.ess.tolist() == pytest.approx([4.0] * 4 + [1.0] * 4, rel=1e-2)
    assert (particles.log_weights == 0).all()


def test_the_potentials_telescope_to_the_last_energy():
    particles = ParticleFilter(3, 0.0, [0] * 3, torch.device("cpu"))
    for potential in ([1.0, 2, 3], [0.5, 0, 9], [-1.0, -2, -3]):
        particles.update(torch.tensor(potential))
    assert particles.log_weights.tolist() == pytest.approx([-1.0, -2, -3])


def test_black_box_scorers_raise_the_score_of_texts():
    def rivers(text):
        return 4.0 * text.count("river")

    plain = MODEL.sample(rows=12)
    guided = MODEL.sample([TextScorer(rivers, strategy=Particles(count=12))], rows=12)
    assert len(guided.texts) == 12
    assert sum(map(rivers, guided.texts)) > sum(map(rivers, plain.texts)) + 8
    ess = [record["ess"] for record in guided.trace.records()]
    assert all(1 <= value <= 12 for value in ess)
    assert min(ess) < 6


def test_slow_scorers_can_be_asked_less_often():
    calls = []

    def score(text):
        calls.append(text)
        return 0.0

    MODEL.sample([TextScorer(score, strategy=Particles(count=1, every=4))], rows=1, steps=8)
    assert len(calls) == 4  # steps 0, 4 and the last one, and the finished text


# ---- goals ----------------------------------------------------------------------------------------------------------


def test_the_controller_raises_the_weight_while_a_goal_is_missed_and_lowers_it_when_it_is_met():
    plugin = FunctionGuidance(linear, below=0.5)
    controller = GoalController(plugin, 2, torch.device("cpu"))
    factors = [controller.update(torch.tensor([2.0, 0.1])) for _ in range(3)]
    assert factors[0].tolist() == pytest.approx([2.0, 2.0**-0.8])
    assert factors[2].tolist() == pytest.approx([8.0, 2.0**-2.4])
    controller.select(torch.tensor([0, 0]))
    assert len(set(controller.log_factor.tolist())) == 1


def test_a_goal_is_reached_where_a_weight_alone_is_not_and_the_trace_says_so():
    def mass(state):
        return -state.probs[..., WORD].sum(-1)

    class Share(FunctionGuidance):
        """Tokens of one word."""

        def measure(self, energy):
            return -energy

    unlimited = {"budget": None, "total": None}
    weight = MODEL.sample(Composition([Share(mass, weight=0.3)], **unlimited), rows=12, steps=24)
    goal = MODEL.sample(Composition([Share(mass, weight=0.3, above=2.0)], **unlimited), rows=12, steps=24)
    counts = [[text.split().count(MODEL.vocabulary.strings[WORD].strip()) for text in r.texts] for r in (weight, goal)]
    assert np.mean(counts[1]) > np.mean(counts[0])
    assert len(goal.trace.goals) == 12
    for report, count in zip(goal.trace.goals, counts[1], strict=True):
        assert report.reached == (report.value >= 2.0)
        assert report.value == pytest.approx(count)
    never = MODEL.sample(Composition([Share(mass, weight=0.3, above=2.0)], budget=0.0), rows=3)
    assert never.trace.unmet
    assert "above 2: reached by" in str(never.trace)
