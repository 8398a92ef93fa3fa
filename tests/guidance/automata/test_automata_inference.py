"""Exact inference against the enumeration of every canvas, on vocabularies small enough to enumerate."""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch

from diffusionlm.guidance import automata
from diffusionlm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary((b"", b"", b" a", b"b", b"ab", b" ", "é".encode()), pad_id=0, special_ids=frozenset({0, 1}))
PAD, SPECIAL = 0, 1


@dataclass(eq=False)
class Case:
    """Constraints on a canvas; `counts` are (least, most) for lengths in tokens."""

    languages: list[automata.Language]
    literals: list[str]
    spans: list[int]
    counts: tuple[int, int] | None = None
    forbidden: tuple[tuple[int, int], ...] = ()
    """(position, token) pairs that the canvas does not allow."""

    @cached_property
    def allowed(self) -> torch.Tensor:
        mask = torch.ones(len(self.spans), len(VOCABULARY), dtype=torch.bool)
        for position, token in self.forbidden:
            mask[position, token] = False
        return mask

    def bind(self) -> automata.BoundAutomaton:
        compiled = [automata.compile_language(language, VOCABULARY) for language in self.languages]
        if self.counts is not None:
            compiled.append(automata.token_count(VOCABULARY, *self.counts))
        return automata.bind(compiled, self.literals, self.spans, self.allowed)

    def text(self, ids: tuple[int, ...]) -> str:
        pieces = [self.literals[0]]
        for span in range(len(self.literals) - 1):
            pieces.append(VOCABULARY.decode(i for i, own in zip(ids, self.spans, strict=True) if own == span))
            pieces.append(self.literals[span + 1])
        return "".join(pieces).removeprefix(" ")

    def accepts(self, ids: tuple[int, ...]) -> bool:
        if SPECIAL in ids or not set(self.forbidden).isdisjoint(enumerate(ids)):
            return False
        tails = zip(ids, ids[1:], self.spans, self.spans[1:], strict=False)
        if any(a == PAD and b != PAD and own == following for a, b, own, following in tails):
            return False
        tokens = sum(token != PAD for token in ids)
        if self.counts is not None and not self.counts[0] <= tokens <= self.counts[1]:
            return False
        return all(language.accepts(self.text(ids)) for language in self.languages)

    @cached_property
    def canvases(self) -> torch.Tensor:
        """All accepted canvases (N, L)."""
        every = itertools.product(range(len(VOCABULARY)), repeat=len(self.spans))
        return torch.tensor([ids for ids in every if self.accepts(ids)])


CASES = {
    "contains": Case([automata.regex("b a", "contains")], ["", ""], [0, 0, 0, 0]),
    "contains nowhere": Case([automata.regex("ab|b.b", "excludes")], ["", ""], [0, 0, 0, 0]),
    "whole text": Case([automata.regex("(a|b)+ a.*")], ["", ""], [0, 0, 0, 0]),
    "beyond ASCII": Case([automata.regex(r"\bé", "contains")], ["", ""], [0, 0, 0, 0]),
    "across the borders": Case([automata.contains_any(["aba", "b b"])], [" a", " b", "a"], [0, 0, 1, 1]),
    "not across the borders": Case([automata.contains_none(["aba", "b a"])], [" xa", "ba", " b"], [0, 0, 1, 1]),
    "pattern through a known text": Case([automata.regex("a--b", "contains")], [" ", "--", ""], [0, 0, 1, 1]),
    "empty first span": Case([automata.regex("a b.*")], ["", "a b", ""], [0, 0, 1, 1]),
    "words": Case([automata.length(2, 2)], [" a", " b", ""], [0, 0, 1, 1]),
    "tokens": Case([], ["", " b ", ""], [0, 0, 1, 1], counts=(2, 3)),
    "words, tokens and phrase": Case(
        [automata.length(2, 3), automata.contains_any(["ab"])], ["", " b", ""], [0, 0, 1, 1], counts=(3, 4)
    ),
    "exact spans": Case(
        [automata.contains_none(["b"])], ["", "-", ""], [0, 0, 1, 1], forbidden=((0, PAD), (1, PAD), (2, PAD), (3, PAD))
    ),
    "some tokens forbidden": Case(
        [automata.regex("a", "contains")], ["", ""], [0, 0, 0, 0], forbidden=((0, 2), (1, 2), (1, PAD), (2, 4), (3, 6))
    ),
    "three spans, two of them one long": Case(
        [automata.regex("(a.b)|(b.a)", "contains")], ["", "b", "", " "], [0, 1, 1, 2]
    ),
    "a span of no positions": Case([automata.contains_any(["a b b"])], ["", " b", " b", ""], [0, 0, 2, 2]),
}


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def distributions(case: Case, batch: int = 3, scale: float = 2.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, len(case.spans), len(VOCABULARY), generator=generator, dtype=torch.float64)
    return (scale * logits).log_softmax(-1)


def canvas_log_p(log_p: torch.Tensor, canvases: torch.Tensor) -> torch.Tensor:
    """(B, L, V), (N, L) -> (B, N)."""
    positions = torch.arange(canvases.shape[1])
    return log_p[:, positions, canvases].sum(-1)


def enumerated_marginals(log_p: torch.Tensor, canvases: torch.Tensor) -> torch.Tensor:
    posterior = canvas_log_p(log_p, canvases).softmax(-1)
    return torch.stack([posterior @ (canvases == v).double() for v in range(log_p.shape[-1])], dim=-1)


def test_log_partition_and_marginals_equal_enumeration(case: Case) -> None:
    log_p, bound, canvases = distributions(case), case.bind(), case.canvases
    assert 0 < len(canvases) < len(VOCABULARY) ** len(case.spans)
    expected = canvas_log_p(log_p, canvases).logsumexp(-1)
    torch.testing.assert_close(bound.log_partition(log_p), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        bound.posterior_marginals(log_p).exp(), enumerated_marginals(log_p, canvases), rtol=1e-10, atol=1e-12
    )


def test_viterbi_is_the_best_accepted_canvas(case: Case) -> None:
    log_p, bound, canvases = distributions(case, seed=1), case.bind(), case.canvases
    best = canvases[canvas_log_p(log_p, canvases).argmax(-1)]
    assert torch.equal(bound.viterbi(log_p), best)


def test_accepts_and_check_agree_with_the_text(case: Case) -> None:
    bound = case.bind()
    every = torch.tensor(list(itertools.product(range(len(VOCABULARY)), repeat=len(case.spans))))
    accepted = {tuple(row) for row in case.canvases.tolist()}
    expected = torch.tensor([tuple(row) in accepted for row in every.tolist()])
    assert torch.equal(bound.accepts(every), expected)
    verdicts = bound.check(every)
    assert set(verdicts) == set(bound.names)
    plain = ~(every == SPECIAL).any(-1)
    for language in case.languages:
        texts = torch.tensor([language.accepts(case.text(tuple(row))) for row in every.tolist()])
        assert torch.equal(verdicts[language.name][plain], texts[plain])


def test_samples_follow_the_conditional_distribution() -> None:
    case = CASES["words, tokens and phrase"]
    log_p, bound, canvases = distributions(case, batch=1, scale=1.0), case.bind(), case.canvases
    draws = 20_000
    samples = bound.sample(log_p.expand(draws, -1, -1), torch.Generator().manual_seed(3))
    number = {tuple(row): n for n, row in enumerate(canvases.tolist())}
    counts = torch.bincount(torch.tensor([number[tuple(row)] for row in samples.tolist()]), minlength=len(canvases))
    expected = canvas_log_p(log_p, canvases).softmax(-1)[0] * draws
    keep = expected > 5
    statistic = ((counts - expected)[keep] ** 2 / expected[keep]).sum().item()
    freedom = int(keep.sum()) - 1
    assert freedom > 10
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)


def test_every_sample_is_accepted(case: Case) -> None:
    bound = case.bind()
    samples = bound.sample(distributions(case, batch=200), torch.Generator().manual_seed(0))
    assert bound.accepts(samples).all()


def test_one_generator_gives_one_sample_whatever_the_batch() -> None:
    case = CASES["contains"]
    log_p, bound = distributions(case, batch=4), case.bind()

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(4)]

    together = bound.sample(log_p, generators())
    alone = torch.cat([bound.sample(log_p[b : b + 1], [own]) for b, own in enumerate(generators())])
    assert torch.equal(together, alone)
    with pytest.raises(ValueError, match="2 generators were given for a batch of 4"):
        bound.sample(log_p, generators()[:2])


def test_gradient_of_log_partition_is_the_marginals(case: Case) -> None:
    log_p, bound = distributions(case), case.bind()
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    leaf = log_p.clone().requires_grad_()
    (bound.log_partition(leaf) * weights).sum().backward()
    expected = bound.posterior_marginals(log_p).exp() * weights[:, None, None]
    torch.testing.assert_close(leaf.grad, expected, rtol=1e-12, atol=1e-14)


def test_gradient_of_log_partition_equals_finite_differences() -> None:
    case = CASES["words, tokens and phrase"]
    bound = case.bind()
    leaf = distributions(case, batch=1, scale=1.0).requires_grad_()
    assert torch.autograd.gradcheck(bound.log_partition, (leaf,), eps=1e-6, atol=1e-8)


@pytest.mark.parametrize("gap", [50.0, 800.0, 5000.0])
def test_distributions_thousands_of_nats_apart(case: Case, gap: float) -> None:
    """Nearly one-hot distributions on a canvas that is not accepted: what is accepted lies far out in the tails."""
    log_p = distributions(case) - gap
    log_p[:, :, SPECIAL] = 0.0
    log_p[0, :, 3] = -torch.inf
    bound, canvases = case.bind(), case.canvases
    scores = canvas_log_p(log_p, canvases)
    possible = torch.isfinite(scores).any(-1)
    torch.testing.assert_close(bound.log_partition(log_p), scores.logsumexp(-1), rtol=1e-12, atol=1e-9)
    log_p, scores = log_p[possible], scores[possible]
    marginals = bound.posterior_marginals(log_p)
    torch.testing.assert_close(marginals.exp(), enumerated_marginals(log_p, canvases), rtol=1e-7, atol=1e-9)
    assert not marginals.isnan().any()
    assert bound.accepts(bound.sample(log_p, torch.Generator().manual_seed(0))).all()
    best = canvas_log_p(log_p, bound.viterbi(log_p)).diagonal()
    torch.testing.assert_close(best, scores.amax(-1), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision_keeps_its_type_and_agrees(dtype: torch.dtype) -> None:
    case = CASES["words, tokens and phrase"]
    bound, log_p = case.bind(), distributions(case).to(dtype)
    marginals = bound.posterior_marginals(log_p)
    assert marginals.dtype == dtype
    assert bound.log_partition(log_p).dtype == torch.float32
    expected = bound.posterior_marginals(log_p.double()).exp()
    torch.testing.assert_close(
        marginals.double().exp(), expected, rtol=5e-2 if dtype == torch.bfloat16 else 1e-2, atol=1e-3
    )


def test_shared_blocks_compute_the_same_as_plain_edges(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large automata go through trees of shared blocks; force them on small ones, with blocks of few columns."""
    from diffusionlm.guidance.automata import circuit

    log_p, plain = distributions(case), case.bind()
    monkeypatch.setattr(circuit, "PLAIN_CELLS", 0)
    monkeypatch.setattr(circuit, "BLOCK", 2)
    monkeypatch.setattr(circuit, "ARITY", 2)
    monkeypatch.setattr(circuit, "DENSE_WORK", 0)
    shared = case.bind()
    assert shared._engine.circuit.fans
    assert not plain._engine.circuit.fans
    torch.testing.assert_close(shared.log_partition(log_p), plain.log_partition(log_p), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        shared.posterior_marginals(log_p), plain.posterior_marginals(log_p), rtol=1e-10, atol=1e-9
    )
    assert torch.equal(shared.viterbi(log_p), plain.viterbi(log_p))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            Case([automata.contains_any(["xyz"])], ["", ""], [0, 0, 0]),
            r"contains 'xyz'.*no text of that length and vocabulary",
        ),
        (Case([automata.length(9, 9)], [" a ", " b", ""], [0, 0, 1]), r"exactly 9 words"),
        (Case([automata.contains_none(["b"])], [" a b", ""], [0]), r"excludes 'b'"),
        (
            Case([automata.contains_any(["ab"]), automata.contains_none(["a"])], ["", ""], [0, 0]),
            r"contains 'ab'.*excludes 'a'.*each constraint can be met alone",
        ),
        (
            Case([automata.contains_any(["ab"]), automata.length(7, 7)], ["", ""], [0, 0]),
            r"\[exactly 7 words\] cannot be met here even by itself",
        ),
        (Case([], ["", ""], [0, 0], counts=(3, 4)), r"3 to 4 tokens"),
        (
            Case([automata.regex("a", "contains")], ["", ""], [0], forbidden=((0, 2), (0, 4))),
            r"contains 'a'.*1 position in 1 span:",
        ),
    ],
)
def test_unsatisfiable_constraints_are_named_before_sampling(case: Case, message: str) -> None:
    with pytest.raises(automata.UnsatisfiableConstraint, match=message):
        case.bind()


def test_probability_zero_is_named_with_its_sample() -> None:
    case = CASES["contains"]
    bound, log_p = case.bind(), distributions(case)
    log_p[1, :, 2] = -torch.inf
    log_p[1, :, 4] = -torch.inf
    assert bound.log_partition(log_p)[1] == -torch.inf
    for method in (bound.posterior_marginals, bound.viterbi, bound.sample):
        with pytest.raises(automata.UnsatisfiableConstraint, match=r"probability zero in samples \[1\]"):
            method(log_p)
    log_p[1] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        bound.posterior_marginals(log_p)


def test_bad_arguments_are_told_what_is_allowed() -> None:
    compiled = automata.compile_language(automata.regex(".*"), VOCABULARY)
    other = automata.compile_language(automata.regex(".*"), Vocabulary((b"", b"a"), 0, frozenset({0})))
    with pytest.raises(ValueError, match="at least one automaton"):
        automata.bind([], ["", ""], [0])
    with pytest.raises(ValueError, match="different vocabularies"):
        automata.bind([compiled, other], ["", ""], [0])
    with pytest.raises(ValueError, match="ascend within 0 to 0"):
        automata.bind([compiled], ["", ""], [0, 1])
    with pytest.raises(ValueError, match="allowed must be bool"):
        automata.bind([compiled], ["", ""], [0], torch.ones(3, dtype=torch.bool))
    bound = automata.bind([compiled], ["", ""], [0, 0])
    with pytest.raises(ValueError, match=r"shape \(B, 2, 7\)"):
        bound.log_partition(torch.zeros(1, 3, 7))


def test_the_cap_on_combined_constraints_names_them() -> None:
    parts = [automata.compile_language(automata.length(0, 30), VOCABULARY), automata.token_count(VOCABULARY, 0, 30)]
    with pytest.raises(automata.AutomatonTooLarge, match=r"0 to 30 words.*0 to 30 tokens.*more than 50"):
        automata.bind(parts, ["", ""], [0] * 30, max_states=50)


@pytest.mark.parametrize("states", [0, 10**9], ids=["sparse", "dense"])
def test_divergence_and_both_ways_of_computing(states: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The KL from classes equals that from tokens; small automata go through dense products with the same result."""
    monkeypatch.setattr("diffusionlm.guidance.automata.dense.MAX_NUMBERS", states)
    case = Case([automata.contains_any(["ab"]), automata.length(2, 6, unit="characters")], ["a", "b", ""], [0, 0, 1, 1])
    bound = case.bind()
    log_p = torch.randn(3, 4, len(VOCABULARY), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    log_p = (2 * log_p).log_softmax(-1)
    found = bound.posterior(log_p)
    marginals = found.marginals.exp()
    expected = torch.where(marginals > 0, marginals * (found.marginals - log_p), 0.0).sum(-1)
    torch.testing.assert_close(found.divergence, expected)
    torch.testing.assert_close(found.log_partition, bound.log_partition(log_p))
    torch.testing.assert_close(marginals.sum(-1), torch.ones(3, 4, dtype=torch.float64))
