"""MAUVE is 1 for equal sets, falls with their distance, and reads the judge's state after the last token."""

import numpy as np
import pytest
import torch

from diffusionlm.evaluation.judge import load_judge
from diffusionlm.evaluation.mauve import cluster, frontier_area, mauve
from diffusionlm.evaluation.registry import make_task


def test_the_area_is_that_of_the_authors_own_code():
    # compute_mauve's curve of mauve-text 0.4.0 with 2,000 mixtures and c = 5, on these histograms
    draw = np.random.default_rng(0)
    found = []
    for _ in range(2):
        k = draw.integers(2, 20)
        found.append(frontier_area(draw.dirichlet(np.ones(k) * 0.7), draw.dirichlet(np.ones(k) * 0.7)))
    assert found[0] == pytest.approx(0.256366, abs=1e-4)


def test_it_is_one_for_equal_sets_symmetric_and_falls_with_the_distance():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(80, 12)) + 2, draw.normal(size=(80, 12)) + 2
    away = draw.normal(size=12)
    found = [mauve(a, b + step * away) for step in (0, 0.7, 2.0)]
    assert mauve(a, a) == pytest.approx(1.0)
    assert 0.8 < found[0] < 1.0
    assert found[0] > found[1] > found[2] > 0
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.1, 0.3, 0.6])
    assert frontier_area(p, q) == pytest.approx(frontier_area(q, p), abs=1e-3)
    assert frontier_area(np.array([1.0, 0.0]), np.array([0.0, 1.0])) < 0.01


def test_clusters_that_are_apart_are_found():
    draw = np.random.default_rng(1)
    points = np.concatenate([draw.normal(size=(20, 3)) + 20 * k for k in range(4)])
    labels = cluster(points, 4, seed=0)
    assert [len(set(labels[20 * k : 20 * k + 20])) for k in range(4)] == [1] * 4
    assert len(set(labels)) == 4
    assert len(cluster(np.ones((6, 2)), 3, seed=0)) == 6  # equal points end, too


@pytest.mark.parametrize(
    ("ours", "theirs", "clusters"),
    [((1, 3), (4, 3), None), ((4, 3), (4, 2), None), ((4,), (4,), None), ((4, 3), (4, 3), 1), ((4, 3), (4, 3), 9)],
)
def test_what_cannot_be_compared_is_refused(ours, theirs, clusters):
    with pytest.raises(ValueError, match="MAUVE"):
        mauve(np.ones(ours), np.ones(theirs), clusters)


def test_features_are_the_state_after_the_last_token_whatever_the_batch(bench):
    judge = load_judge(bench / "judge")
    texts = ["The Mill is a cheap pub.", "A pub.", "The Eagle is near the river and it is good."]
    found = judge.features(texts)
    for text, row in zip(texts, found, strict=True):
        ids = torch.tensor([[judge._start_id, *judge.tokenizer(text, add_special_tokens=False).input_ids]])
        with torch.no_grad():
            state = judge.model(ids, output_hidden_states=True).hidden_states[-1][0, -1]
        assert np.allclose(row, state.numpy(), atol=1e-5)
    assert np.allclose(judge.features(texts, tokens_per_batch=1), found, atol=1e-5)
    with pytest.raises(TypeError, match="wrap it"):
        judge.features("a text")
    with pytest.raises(ValueError, match="at least one"):
        judge.features([])


def test_the_fluency_task_reports_it_beside_other_real_text(context):
    task = make_task("fluency", settings={"count": 2, "references": 4, "temperatures": []})
    result = task.run(context)
    values = {figure.name: figure.value for figure in result.figures}
    assert 0 < values["MAUVE"] <= 1
    assert 0 < values["MAUVE of other real text"] <= 1
    assert any("MAUVE of 2 and 2 texts" in note for note in result.notes)
    without = make_task("fluency", settings={"count": 2, "references": 4, "temperatures": [], "mauve": False})
    assert "MAUVE" not in {figure.name for figure in without.run(context).figures}
