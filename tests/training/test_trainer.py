"""The loop: the same losses whether interrupted or not, accumulated or not; what it refuses and what it logs."""

import itertools
import json
import os
import shutil
import signal
import time

import pytest
import torch
from miniature_run import make_config

from diffusionlm.training.ahead import draw_step
from diffusionlm.training.checkpoints import list_checkpoints
from diffusionlm.training.cost import step_operations
from diffusionlm.training.precision import Precision, faster_dtype
from diffusionlm.training.run import build_trainer
from diffusionlm.training.settings import FIRST
from diffusionlm.training.stopping import StopRequest
from diffusionlm.training.trainer import Trainer


def losses(trainer):
    return [(entry["step"], entry.get("loss", entry.get("valid_bound"))) for entry in trainer.logged]


def same_state(one, other):
    pairs = zip(one.denoiser.state_dict().values(), other.denoiser.state_dict().values(), strict=True)
    averages = zip(one.average.average, other.average.average, strict=True)
    return all(torch.equal(a, b) for a, b in [*pairs, *averages])


SIX, FOUR = ({"data__valid": None, "trainer__max_steps": steps} for steps in (6, 4))


def run_whole(folder, texts, **changes):
    logged = []
    trainer, _ = build_trainer(make_config(folder, texts, **changes), logged.append)
    trainer.logged = logged
    trainer.run()
    return trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory, texts):
    """A run of 12 steps that nothing disturbed; for comparison, not to be changed."""
    return run_whole(tmp_path_factory.mktemp("whole"), texts)


@pytest.fixture(scope="module")
def six(tmp_path_factory, texts):
    """One of 6 steps, without validation."""
    return run_whole(tmp_path_factory.mktemp("six"), texts, **SIX)


@pytest.fixture(scope="module")
def four(tmp_path_factory, texts):
    """One of 4 steps, without validation."""
    return run_whole(tmp_path_factory.mktemp("four"), texts, **FOUR)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(build, whole, optimizer):
    if optimizer != "muon":
        whole = build("whole", optimizer__name=optimizer)
        whole.run()
    stopped = build("parts", optimizer__name=optimizer)
    for _ in range(5):  # on to the first checkpoint, and one step too far
        stopped._train_step()
        stopped.step += 1
        if stopped.step == 4:
            stopped.save()
    resumed = build("parts", optimizer__name=optimizer)
    resumed.run()
    assert losses(resumed) == [entry for entry in losses(whole) if entry[0] > 4]
    assert same_state(resumed, whole)
    assert resumed.tokens_seen == whole.tokens_seen


def test_a_run_that_stops_before_the_first_fit_keeps_the_schedule_it_began_with(build):
    before = build(schedule__beta=1.2, trainer__schedule_every=100, trainer__save_every=1, trainer__max_steps=1)
    before.run()
    after = build(schedule__beta=1.2, trainer__schedule_every=100)
    assert after.resume()
    assert after.schedule == before.schedule  # not exp(log(beta)), which may be the next float


def test_a_truncated_newest_checkpoint_costs_steps_but_changes_nothing(build, whole, caplog):
    again = build("cut")
    shutil.copytree(whole.checkpoint_folder, again.checkpoint_folder)
    newest = list_checkpoints(again.checkpoint_folder)[-1]
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    again.run()
    assert "step_00000012 is damaged" in caplog.text
    assert losses(again) == [entry for entry in losses(whole) if entry[0] > 8]
    assert same_state(again, whole)
    assert build("cut").resume()


def test_two_micro_batches_are_one_batch_of_both(build):
    whole = build("one", trainer__accumulate=2, trainer__self_condition_share=0.0)
    drawn = draw_step(whole.train_source, whole.denoiser.config.embedding_size, whole.settings, 0)
    batches = [batch for batch, _ in drawn]
    draws = [noise.under(whole.schedule, whole.settings) for _, noise in drawn]
    fade = torch.tensor(0.25)
    total = sum(batch.num_tokens for batch in batches)
    for batch, (gamma, noise, _) in zip(batches, draws, strict=True):
        out, _ = whole._forward(
            **batch.tensors(), gamma=gamma, noise=noise, likelihood_weight=fade, self_condition=False
        )
        ((out * batch.span_mask.sum(-1)).sum() / total).backward()
    expected = {name: p.grad.clone() for name, p in whole.denoiser.named_parameters() if p.grad is not None}
    whole.denoiser.zero_grad()
    for micro, (batch, noise) in enumerate(drawn):
        whole._micro_step(batch, noise, micro, fade, total)
    for name, parameter in whole.denoiser.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name])


def test_training_lowers_the_bound(build):
    trainer = build(trainer__max_steps=50, trainer__valid_every=100, trainer__save_every=50, trainer__ema_decay=0.9)
    before = trainer.validate()["valid_bound"]
    trainer.run()
    assert trainer.validate()["valid_bound"] < 0.8 * before


def test_the_log_says_what_is_going_on(build):
    trainer = build(trainer__max_steps=6)
    trainer.run()
    entry = next(entry for entry in trainer.logged if entry["step"] == 3)
    expected = {"loss", "gradient_norm", "step", "tokens", "tokens_per_second", "steps_per_second", "learning_rate"}
    assert expected | {"mu", "beta", "entropy"} <= set(entry)
    assert json.loads(json.dumps(entry)) == entry
    assert trainer.logged[-1].keys() == {"step", "valid_bound"}
    assert trainer.figures == {"valid_bound": trainer.logged[-1]["valid_bound"]}


def test_the_first_step_is_said_and_not_recorded_twice(build):
    trainer = build(trainer__max_steps=6, trainer__log_every=3, trainer__valid_every=100)
    trainer.run()
    steps = [(entry["step"], entry.get(FIRST, False)) for entry in trainer.logged]
    assert steps == [(1, True), (3, False), (6, False)]
    assert trainer.logged[0]["steps_per_second"] > 0
    assert not any(FIRST in entry for entry in everything(build("every", trainer__max_steps=2, data__valid=None)))


def everything(trainer):
    trainer.run()
    return trainer.logged


def test_samples_are_looked_at_after_some_seconds_of_training_then_twice_as_many(build, monkeypatch):
    """Steps last 10 seconds each by the clock that the trainer reads."""
    clock = itertools.count(0, 10.0)
    monkeypatch.setattr("diffusionlm.training.trainer.time.monotonic", lambda: next(clock))
    trainer = build(trainer__max_steps=20, trainer__valid_every=100, trainer__sample_after=25.0)
    trainer.on_validate = lambda trainer: {"samples": [f"text of step {trainer.step}"]}
    looked = [entry["samples"] for entry in everything(trainer) if "samples" in entry]
    assert looked == [["text of step 3"], ["text of step 5"], ["text of step 10"]]
    never = build("never", trainer__max_steps=20, trainer__valid_every=100, trainer__sample_after=0.0)
    never.on_validate = trainer.on_validate
    assert not any("samples" in entry for entry in everything(never))
    assert same_state(trainer, never)


def test_a_run_ends_when_its_minutes_are_used_and_the_learning_rate_has_fallen_by_then(build, monkeypatch):
    """Steps last 10 seconds each by the clock that the trainer reads: 8 of them are 80 seconds."""
    clock = itertools.count(0, 10.0)
    monkeypatch.setattr("diffusionlm.training.trainer.time.monotonic", lambda: next(clock))
    limit = {"trainer__max_minutes": 80 / 60, "trainer__decay_share": 0.5, "trainer__warmup_steps": 0}
    trainer = build(trainer__max_steps=100, trainer__valid_every=100, trainer__save_every=100, **limit)
    trainer.run()
    assert (trainer.step, trainer.finished) == (8, True)
    assert list_checkpoints(trainer.checkpoint_folder)[-1].name == "step_00000008"
    rates = [entry["learning_rate"] / 2e-3 for entry in trainer.logged if "loss" in entry and FIRST not in entry]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert [round(entry["seconds_left"]) for entry in trainer.logged if "seconds_left" in entry][-2:] == [10, 0]
    again = build(trainer__max_steps=100, **limit)
    again.run()
    assert again.step == 8


def test_a_checkpoint_is_written_after_some_minutes_of_training_too(build, monkeypatch):
    clock = itertools.count(0, 10.0)
    monkeypatch.setattr("diffusionlm.training.trainer.time.monotonic", lambda: next(clock))
    trainer = build(trainer__save_every=100, trainer__save_minutes=0.5, trainer__keep_checkpoints=9, data__valid=None)
    trainer.run()
    assert [path.name[-2:] for path in list_checkpoints(trainer.checkpoint_folder)] == ["03", "06", "09", "12"]


def test_workers_that_prepare_batches_change_nothing(build, four):
    helped = build("helped", trainer__workers=2, **FOUR)
    helped.run()
    assert losses(helped) == losses(four)
    assert same_state(helped, four)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_the_step_and_nothing_is_lost(build, six, number):
    stopped, stop = build("parts", trainer__save_every=100, **SIX), StopRequest()

    def ask(figures):
        if figures["step"] == 3 and not stop:
            os.kill(os.getpid(), number)

    log = stopped.on_log
    stopped.on_log = lambda figures: (log(figures), ask(figures))
    before = signal.getsignal(number)
    with stop:
        stopped.run(stop=stop)
    assert signal.getsignal(number) is before
    assert (stopped.step, stop.exit_code) == (3, 128 + number)
    assert [path.name for path in list_checkpoints(stopped.checkpoint_folder)] == ["step_00000003"]
    resumed = build("parts", **SIX)
    resumed.run()
    assert losses(resumed) == [entry for entry in losses(six) if entry[0] > 3]
    assert same_state(resumed, six)


def test_a_second_signal_acts_at_once():
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


@pytest.mark.parametrize(
    ("rates", "half"),
    [({torch.float32: 9e10, torch.bfloat16: 1e9}, False), ({torch.float32: 1e9, torch.bfloat16: 2e9}, True)],
)
def test_auto_takes_the_precision_that_the_machine_is_faster_in_and_says_why(build, monkeypatch, rates, half):
    monkeypatch.setattr("diffusionlm.training.precision.matrix_rate", lambda dtype, device: rates[dtype])
    chosen = build(trainer__precision="auto").precision
    assert chosen.half is half
    assert "GFLOP/s in bfloat16" in chosen.reason
    assert faster_dtype(torch.device("cpu")) is (torch.bfloat16 if half else torch.float32)
    assert build("asked", trainer__precision="bf16").precision == Precision(True, "asked for")


def test_the_operations_of_a_step_are_those_of_its_matrix_products(build):
    """Twice for each weight and position forwards, four times backwards; no prompt or known text, so no encoding of one."""
    changes = {"task_weights": {"whole": 1.0}, "prompt_share": 0.0, "limits": [16]}
    settings = {f"data__{name}": value for name, value in changes.items()}
    plain = build(trainer__self_condition_share=0.0, optimizer__name="adamw", **settings)
    config, positions = plain.denoiser.config, 16 * plain.train_source.batch(0).span_ids.shape[0]
    width, rows = config.hidden_size, plain.train_source.batch(0).span_ids.shape[0]
    weights = config.num_hidden_layers * (4 * width**2 + 3 * width * config.intermediate_size)
    weights += 2 * config.embedding_size * width + config.vocab_size * (width + config.embedding_size)
    of_rows = config.condition_size * (64 + config.condition_size + config.num_hidden_layers * 6 * width)
    attention = config.num_hidden_layers * 2 * 16 * width
    expected = 6 * (positions * (weights + attention) + rows * of_rows)
    counted = step_operations(plain)
    assert counted == pytest.approx(expected, rel=0.1)
    assert all(parameter.grad is None for parameter in plain.denoiser.parameters())
    conditioned = build("conditioned", trainer__self_condition_share=1.0, optimizer__name="adamw", **settings)
    assert step_operations(conditioned) == pytest.approx(4 / 3 * counted, rel=0.05)
    muon = step_operations(build("muon", trainer__self_condition_share=0.0, **settings))
    fused = 2 * config.intermediate_size  # gate and up in one matrix
    square = 5 * 6 * width**3
    oblong = sum(5 * (4 * width**2 * long + 2 * width**3) for long in (fused, config.intermediate_size))
    assert muon - counted == config.num_hidden_layers * (4 * square + oblong)


def test_routers_are_logged_and_trained(build):
    trainer = build(model__num_experts=4, model__num_experts_per_tok=2, trainer__max_steps=2)
    before = trainer.denoiser.blocks[0].feed_forward.router.weight.detach().clone()
    trainer.run()
    figures = trainer.logged[0]
    assert figures["load_balancing_loss"] >= 1 - 1e-4
    assert figures["router_z_loss"] > 0
    assert 0.25 <= figures["router_max_load"] <= 0.5
    assert figures["router_entropy"] > 0
    assert not torch.equal(before, trainer.denoiser.blocks[0].feed_forward.router.weight)


def test_the_validation_hook_sees_the_averaged_weights_and_its_findings_are_logged(build):
    trainer, seen = build(trainer__ema_decay=0.5), {}

    def look(given):
        seen["averaged"] = torch.equal(given.denoiser.embeddings, given.average.state_dict()["embeddings"])
        seen["training"] = given.denoiser.training
        return {"samples": ["text"]}

    trainer.on_validate = look
    trainer._train_step()
    before = trainer.denoiser.embeddings.detach().clone()
    assert trainer.validate()["samples"] == ["text"]
    assert seen == {"averaged": True, "training": False}
    assert trainer.denoiser.training
    assert torch.equal(trainer.denoiser.embeddings, before)


def test_validation_changes_nothing_in_the_course_of_training(build, four):
    often = build("often", trainer__valid_every=1, trainer__max_steps=4)
    often.run()
    assert same_state(often, four)
    with pytest.raises(ValueError, match="set data.valid"):
        four.validate()


@pytest.mark.parametrize("changes", [{"gradient_checkpointing": True}, {"attention": "sdpa"}], ids=str)
def test_the_way_of_computing_does_not_change_what_is_computed(build, four, changes):
    other = build("other", **FOUR, **{f"trainer__{name}": value for name, value in changes.items()})
    other.run()
    for one, two in zip(losses(four), losses(other), strict=True):
        assert two == pytest.approx(one, rel=1e-4)


def test_bfloat16_stays_near_float32_and_keeps_float32_weights(build, six):
    half = build("half", trainer__precision="bf16", **SIX)
    half.run()
    assert {value.dtype for value in half.denoiser.state_dict().values()} == {torch.float32}
    assert losses(half) != losses(six)
    for one, two in zip(losses(six), losses(half), strict=True):
        assert two == pytest.approx(one, rel=0.05)


@pytest.mark.parametrize("kind", ["cosine", "square_root"])
def test_a_fixed_schedule_stays_as_it_is(build, kind):
    trainer = build(schedule={"kind": kind, "gamma_min": -8.0, "gamma_max": 10.0})
    schedule = trainer.schedule
    trainer.run()
    assert trainer.schedule == schedule
    assert "mu" not in trainer.logged[0]
    resumed = build(schedule={"kind": kind, "gamma_min": -8.0, "gamma_max": 10.0})
    assert resumed.resume()
    assert resumed.schedule == schedule


def test_a_gradient_that_is_not_finite_stops_the_run_and_spoils_no_checkpoint(build):
    trainer = build()
    trainer.save()
    with torch.no_grad():
        trainer.denoiser.head.weight[0, 0] = torch.nan
    trainer.regression = None  # it refuses such losses by itself, one line earlier
    with pytest.raises(FloatingPointError, match=r"not finite at step 0. The last checkpoint is intact"):
        trainer._train_step()
    assert build().resume()


def test_more_steps_continue_a_finished_run(build, whole):
    longer = build(trainer__max_steps=14)
    shutil.copytree(whole.checkpoint_folder, longer.checkpoint_folder)
    longer.run()
    assert [entry["step"] for entry in longer.logged if "loss" in entry] == [13, 14]


def test_a_checkpoint_of_another_network_is_named(build, whole):
    other = build("two", model__hidden_size=32)
    shutil.copytree(whole.checkpoint_folder, other.checkpoint_folder)
    with pytest.raises(ValueError, match=r"is of another network or optimizer .* train in another folder"):
        other.resume()


def test_fewer_rows_than_processes_are_refused(build, monkeypatch):
    trainer = build(data__tokens_per_batch=16)
    monkeypatch.setattr("diffusionlm.training.trainer.Accelerator.num_processes", 2)
    with pytest.raises(ValueError, match="only 1 rows, fewer than the 2 processes; raise data.tokens_per_batch"):
        Trainer(trainer.denoiser, trainer.train_source, None, trainer.schedule, trainer.settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer__max_steps": 0}, "trainer.max_steps must be at least 1, got 0"),
        ({"trainer__max_steps": "many"}, "trainer.max_steps must be of type int, got 'many'"),
        ({"trainer__compile": 1}, "trainer.compile must be of type bool, got 1"),
        ({"trainer__warmup_steps": -1}, "trainer.warmup_steps must be at least 0"),
        ({"trainer__decay_share": 1.5}, r"trainer.decay_share must lie in \[0, 1\]"),
        ({"trainer__gradient_clip": 0.0}, "trainer.gradient_clip must be positive"),
        ({"trainer__precision": "fp16"}, r"trainer.precision must be one of \('auto', 'no', 'bf16'\), got 'fp16'"),
        ({"trainer__max_step": 3}, r"There is no setting 'trainer.max_step'; did you mean 'trainer.max_steps'\?"),
        ({"model__num_expert": 3}, r"There is no setting 'model.num_expert'; did you mean 'model.num_experts'\?"),
        ({"optimizer__lr": 1}, "There is no setting 'optimizer.lr'; there are: name, learning_rate"),
        ({"data__tokenizer__kind": "letters"}, "Unknown data.tokenizer.kind 'letters'; allowed are bpe, word, byte"),
        ({"data__max_lenght": 3}, r"did you mean 'data.max_length'\?"),
        ({"data__limits": [8, 99]}, r"data.limits \[8, 99\] must not go beyond data.max_length, 16"),
        ({"data__holdout": 1.0}, r"data.holdout must lie in \[0, 1\)"),
        ({"data__train": "nowhere.txt"}, "data file 'nowhere.txt' does not exist"),
        ({"schedule__kind": "linear"}, "Unknown noise schedule 'linear'"),
        ({"trainer__attention": "flash"}, "flash"),
    ],
)
def test_mistakes_in_the_settings_are_found_before_work_starts(build, tmp_path, changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(**changes)
    assert not (tmp_path / "run" / "checkpoints").exists()
