"""A floor of fluency beside a goal: broken text is seen, written again and told of; what the model would write passes."""

import json

import pytest

from diffusionlm.generation.fluency import ATTEMPTS
from diffusionlm.guidance import Composition, Guidance, TextScorer
from diffusionlm.pipeline import DiffusionLMPipeline

CALL = {"num_samples": 3, "steps": 4, "seed": 5, "max_length": 12}


class Rare(Guidance):
    """Wants some tokens everywhere, whatever the model thinks: a goal that broken text reaches."""

    def energy(self, state):
        """Share of positions without them."""
        return (1 - state.probs[..., 700:900].sum(-1)).mul(state.span_mask).sum(-1) / state.span_mask.sum(-1)


FORCED = Composition(Rare(weight=1e4, below=0.5), budget=None, total=None)
OFTEN = {"num_samples": 4, "steps": 6, "seed": 1, "max_length": 16}


@pytest.fixture(scope="module")
def restaurant():
    """A trained model: only of one that knows text does fluency say anything."""
    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_text_that_a_goal_broke_is_seen_written_again_and_told(restaurant):
    own = restaurant(fluency=0, **OFTEN)
    broken = restaurant(fluency=0, guidance=FORCED, **OFTEN)
    assert not broken.unmet  # the goal is reached, and 0 is no floor
    ours, theirs = ([sample.fluency for sample in result.samples[0]] for result in (own, broken))
    assert min(ours) > 2 * max(theirs)
    told = restaurant(fluency=0.15, guidance=FORCED, **OFTEN)
    assert [(report.plugin, report.sample) for report in told.unmet] == [("fluency", k) for k in range(4)]
    assert all(sample.attempts == ATTEMPTS for sample in told.samples[0])
    assert json.loads(told.to_json())["unmet"][0]["goal"] == "fluency above 0.15"
    assert told.settings["fluency"] == 0.15


def test_measuring_changes_nothing_and_is_done_only_when_asked_for(tiny_pipe):
    plain = tiny_pipe(**CALL)
    assert plain.texts == tiny_pipe(fluency=0, **CALL).texts
    assert plain.samples[0][0].fluency is None
    assert "fluency" not in plain.settings


def test_of_several_attempts_the_more_fluent_stays(tiny_pipe):
    once = tiny_pipe(fluency=0, **CALL).samples[0]
    again = tiny_pipe(fluency=1.0, **CALL)
    low = [k for k, sample in enumerate(once) if sample.fluency < 1]
    assert low  # weights that were never trained make no text of their own
    assert all(again.samples[0][k].fluency >= once[k].fluency for k in low)
    assert [report.sample for report in again.unmet] == [k for k, s in enumerate(again.samples[0]) if s.fluency < 1]


def test_a_floor_and_candidates_and_a_judge_go_together(tiny_pipe):
    judge = TextScorer(lambda text: float(len(text)), weight=1.0, below=1e6)
    result = tiny_pipe(fluency=0.2, best_of=1, guidance=judge, **CALL)
    assert len(result.texts) == 3
    assert len(tiny_pipe(fluency=0.2, best_of=3, **CALL).texts) == 3


@pytest.mark.parametrize("value", [-0.1, 1.5, "high", True])
def test_a_floor_out_of_range_is_refused(tiny_pipe, value):
    with pytest.raises(ValueError, match="fluency must be a number from 0 to 1"):
        tiny_pipe(fluency=value, **CALL)
