"""A student's one step comes to lead where its teacher's two lead; its pipeline is the teacher's but for the steps."""

import copy
import json

import pytest
import torch
from miniature_run import make_config

from diffusionlm import DiffusionLMPipeline, cli
from diffusionlm.training.distillation import distillation_objective
from diffusionlm.training.export import export_pipeline
from diffusionlm.training.rounds import Round, Teacher, check_steps
from diffusionlm.training.run import build_trainer

SETTINGS = [
    "trainer.max_steps=3",
    "trainer.log_every=1",
    "trainer.valid_every=3",
    "trainer.valid_batches=1",
    "data.tokens_per_batch=64",
    "data.limits=[8,16]",
    "data.task_weights={whole: 0.5, prefix: 0.2, infill: 0.3}",
    "samples=1",
    "tensorboard=false",
]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, texts):
    """The folder of a miniature model that has learned a little, with a reader's folder beside it."""
    folder = tmp_path_factory.mktemp("teacher")
    changes = {"trainer__max_steps": 30, "trainer__valid_every": 100, "trainer__save_every": 100}
    trainer, tokenizer = build_trainer(make_config(folder / "run", texts, **changes))
    trainer.run()
    export_pipeline(trainer, tokenizer, folder / "pipeline", card={"name": "little", "license": "CC0", "command": "it"})
    (folder / "pipeline" / "readers").mkdir(exist_ok=True)  # training counts neighbours there
    (folder / "pipeline" / "readers" / "notes.txt").write_text("read me")
    return folder / "pipeline"


@pytest.fixture
def round_of(tmp_path, texts, teacher):
    """A round of distillation in an empty folder."""

    def make(steps=1, where="run", **changes):
        config = make_config(tmp_path / where, texts, schedule=None, model=None, **changes)
        config["data"] |= {"tokenizer": {"kind": "init"}, "max_length": None}
        config["optimizer"] = {"name": "adamw", "learning_rate": 5e-3}
        config["trainer"] |= {"clean_share": 0.0, "self_condition_share": 1.0, "likelihood_warmup_steps": 0}
        config = {
            "steps": [2 * steps, steps],
            "temperature": None,
            "init": None,
            "sampler": {"name": "euler"},
            **config,
        }
        config |= {"export": str(tmp_path / "student"), "samples": 1, "teacher": str(teacher)}
        return Round(config, Teacher.find(str(teacher)), steps, last=True)

    return make


def test_one_step_of_the_student_comes_nearer_to_two_steps_of_its_teacher(round_of, teacher):
    own = round_of(trainer__max_steps=80, trainer__valid_every=200, trainer__save_every=200)
    trainer, tokenizer = own.build()
    before = trainer.validate()["valid_divergence"]
    kept = {name: value.clone() for name, value in trainer.denoiser.state_dict().items()}
    trainer.run()
    assert trainer.validate()["valid_divergence"] < 0.5 * before
    learned = trainer.denoiser.state_dict()
    assert torch.equal(learned["embeddings"], kept["embeddings"])  # noise and readers are the teacher's
    assert not torch.equal(learned["head.weight"], kept["head.weight"])

    written = own.write(trainer, tokenizer, {"name": "fast"})
    settings = {"num_samples": 16, "seed": 3, "sampler": "euler", "temperature": 1.0, "output_type": "latents"}
    slow, fast = DiffusionLMPipeline.from_pretrained(teacher), DiffusionLMPipeline.from_pretrained(written)
    slow.bigrams = fast.bigrams = 0  # the networks alone
    two = slow(steps=2, **settings)
    far, near = (float((pipe(steps=1, **settings) - two).square().mean()) for pipe in (slow, fast))
    assert near < 0.5 * far


def test_the_student_is_the_pipeline_of_its_teacher_with_steps_of_its_own(round_of, teacher):
    own = round_of(steps=4, trainer__max_steps=1, trainer__valid_every=10)
    trainer, tokenizer = own.build()
    trainer.run()
    assert len(own.samples(trainer, tokenizer)) == 1
    folder = own.write(trainer, tokenizer, {"name": "fast"})
    pipe, slow = DiffusionLMPipeline.from_pretrained(folder), DiffusionLMPipeline.from_pretrained(teacher)
    result = pipe(num_samples=2, seed=0)
    assert (result.settings["steps"], result.settings["temperature"], result.settings["sampler"]["name"]) == (
        4,
        1.0,
        "euler",
    )
    assert pipe(num_samples=2, seed=0, steps=7).settings["steps"] == 7
    assert slow(seed=0).settings["steps"] == 32
    assert pipe.schedule == slow.schedule
    assert pipe.bigrams == slow.bigrams > 0
    assert torch.equal(pipe.model.embeddings(), slow.model.embeddings())
    checksum = json.loads((teacher / "model_index.json").read_text())["sha256"]
    assert pipe.card["distilled"] == {"teacher": str(teacher), "sha256": checksum, "steps": [8, 4]}
    assert (pipe.card["name"], pipe.card["license"], pipe.card["training"]["steps"]) == ("fast", "CC0", 1)
    assert "command" not in pipe.card  # how the teacher was trained
    assert (folder / "readers" / "notes.txt").read_text() == "read me"
    assert "river" in pipe(seed=1, guidance={"phrases": {"include": ["river"]}}).texts[0]


def test_rows_begin_at_the_steps_of_the_student_and_the_last_step_is_the_last(round_of):
    trainer, _ = round_of(steps=4).build()
    step = trainer.objective.step
    starts = step.levels[:-1:2]
    assert step.places(starts.float()).tolist() == [0, 1, 2, 3]
    between = (starts + step.levels[2::2]) / 2
    assert step.places(between).tolist() == [0, 1, 2, 3]
    assert step.places(torch.tensor([-8.0, 11.0])).tolist() == [3, 0]


def test_the_loss_is_what_two_steps_of_the_sampler_say(round_of):
    """Against the samplers themselves: the posterior that is learned leads where the teacher's pipeline goes."""
    trainer, _ = round_of(steps=2).build()
    objective = distillation_objective(trainer.denoiser, copy.deepcopy(trainer.denoiser), trainer.schedule, 2)
    step, seen = objective.step, {}

    def remember(target, logits, mask):
        seen["target"] = target
        return (logits[..., 0] * 0).sum(-1)

    from diffusionlm.training import distillation

    batch = trainer.train_source.batch(0)
    gamma = step.levels[2].float().expand(len(batch.span_ids))
    noise = torch.randn(*batch.span_ids.shape, trainer.denoiser.config.embedding_size)
    original, distillation.divergence = distillation.divergence, remember
    try:
        step(**batch.tensors(), gamma=gamma, noise=noise, likelihood_weight=torch.ones(()), self_condition=False)
    finally:
        distillation.divergence = original
    from diffusionlm.diffusion import diffuse
    from diffusionlm.samplers import make_sampler

    sampler = make_sampler("euler")
    sampler.set_schedule(trainer.schedule)
    sampler.set_timesteps(4)
    teacher, memory = step.teacher.denoiser, step.teacher.memory(**_context(batch))
    latents = start = diffuse(teacher.embed(batch.span_ids), noise, gamma)
    estimate = None
    with torch.no_grad():
        for i in (2, 3):
            level = sampler.gammas[i].float()
            layout = (batch.span_mask, batch.span_positions, batch.open_mask)
            estimate = teacher.clean_estimate(teacher(latents, level, memory, estimate, *layout).logits.softmax(-1))
            latents = sampler.step(estimate, i, latents)
        sampler.set_timesteps(2)
        one = sampler.step(teacher.clean_estimate(seen["target"]), 1, start)
    torch.testing.assert_close(one, latents, rtol=1e-4, atol=1e-4)


def _context(batch):
    return {name: value for name, value in batch.tensors().items() if name.startswith(("known", "prompt", "retrieved"))}


def test_a_stopped_round_goes_on_to_the_same_student(round_of):
    changes = {"trainer__max_steps": 4, "trainer__save_every": 2, "trainer__valid_every": 10}
    whole, _ = round_of(where="whole", **changes).build()
    whole.run()
    stopped, _ = round_of(where="parts", **{**changes, "trainer__max_steps": 2}).build()
    stopped.run()
    resumed, _ = round_of(where="parts", **changes).build()
    resumed.run()
    for one, other in zip(resumed.denoiser.parameters(), whole.denoiser.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="was begun with other settings: temperature was 1.0, now 0.5"):
        round_of(where="parts", temperature=0.5, **changes).build()


@pytest.mark.parametrize("steps", [[32], [32, 16, 4], [16, 32], [0, 0], [8, 4.0], "32", [3, 1], None])
def test_only_halvings_are_taken(steps):
    with pytest.raises(
        ValueError, match=r"steps must be the teacher's number and then its halvings, such as \[32, 16, 8\]"
    ):
        check_steps(steps)
    assert check_steps([32, 16, 8, 4]) == [32, 16, 8, 4]


def test_the_command_halves_twice_and_once_more_finds_all_done(tmp_path, texts, teacher, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("diffusionlm.training.plot.can_plot", lambda: False)
    command = ["distil", f"teacher={teacher}", f"data.train={texts}", "data.holdout=0.1", "steps=[8,4,2]", *SETTINGS]
    assert cli.main(command) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "student, 4 steps begins: 180 texts" in out
    assert "step 3/3 from the teacher" in out
    assert "The student of 4 steps is in runs/student/4/pipeline" in out
    assert (
        "The student of 2 steps is in runs/student/pipeline: diffusionlm generate checkpoint=runs/student/pipeline"
        in out
    )
    pipe = DiffusionLMPipeline.from_pretrained(tmp_path / "runs/student/pipeline")
    assert pipe.steps == 2
    assert pipe.card["distilled"]["steps"] == [8, 4, 2]
    assert pipe.card["distilled"]["teacher"] == str(teacher)
    assert cli.main(command) == 0
    assert capfd.readouterr().out.count("is finished (step 3); it is exported again") == 2


def test_what_cannot_be_distilled_is_refused_in_a_sentence(tmp_path, texts, teacher, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"model_type": "llada"}')
    masked, other = tmp_path / "masked", tmp_path / "other"
    for folder, changes in ((masked, {"process": "masked"}), (other, {"hidden_size": 24})):
        config = make_config(tmp_path / f"{folder.name}-run", texts)
        config["model"] |= changes
        config["schedule"] = {"kind": "masking"} if folder == masked else config["schedule"]
        trainer, tokenizer = build_trainer(config)
        export_pipeline(trainer, tokenizer, folder, "unmasking" if folder == masked else "euler")
    said = {
        f"teacher={foreign}": "is somebody else's model: distil halves the steps of Gaussian models",
        f"teacher={masked}": "is a masked model, whose steps lead to random tokens",
        f"init={foreign}": f"init={foreign} is somebody else's model",
        f"init={masked}": f"init={masked} is a masked model",
        f"init={other}": "is of another family than the teacher",
        "steps=[32,10]": "steps must be the teacher's number and then its halvings",
        "data.max_length=99": "data.max_length=99 is more than the 16 positions of the teacher",
        "data.tokenizer.kind=bpe": "A student has the tokens of its teacher",
        "temperature=-1": "temperature must be positive",
        "teacher=nowhere": "Unknown checkpoint 'nowhere'",
        "trainer.max_stepz=3": "There is no key",
    }
    for argument, sentence in said.items():
        code = cli.main(["distil", f"teacher={teacher}", f"data.train={texts}", *SETTINGS, argument])
        assert code == 2, argument
        assert sentence in " ".join(capfd.readouterr().err.split()), argument
    assert not (tmp_path / "runs").exists()
