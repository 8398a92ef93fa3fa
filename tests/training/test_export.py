"""The exported pipeline is the trained network with its averaged weights, and replaces nothing it should not."""

import json

import pytest
import torch
from miniature_run import make_config

from diffusionlm import DiffusionLMPipeline
from diffusionlm.training.export import export_pipeline, write_samples
from diffusionlm.training.run import build_trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory, texts):
    trainer, tokenizer = build_trainer(make_config(tmp_path_factory.mktemp("run"), texts, trainer__ema_decay=0.5))
    trainer.run()
    return trainer, tokenizer


def logits(denoiser):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 6, denoiser.config.embedding_size, generator=generator)
    memory = denoiser.encode_context(torch.tensor([[3, 4], [5, 6]]))
    with torch.no_grad():
        return denoiser(latents, torch.tensor([1.0, 3.0]), memory).logits


def test_the_export_reloads_to_identical_logits(trained, tmp_path):
    trainer, tokenizer = trained
    own = logits(trainer.denoiser.eval())
    with trainer.average.applied(trainer.denoiser):
        expected = logits(trainer.denoiser)
    folder = export_pipeline(trainer, tokenizer, tmp_path / "pipeline")
    pipe = DiffusionLMPipeline.from_pretrained(folder, attn_implementation="eager")  # as the trainer computes
    assert torch.equal(logits(pipe.denoiser), expected)
    assert not torch.equal(own, expected)  # the average is not what the last step left
    assert torch.equal(logits(trainer.denoiser), own)  # and the trainer goes on with its own weights
    assert pipe.schedule == trainer.schedule
    assert pipe.tokenizer.encode("the pub") == tokenizer.encode("the pub")
    assert pipe.max_length == 16
    assert pipe.card["training"] == {
        "steps": 12,
        "tokens_seen": trainer.tokens_seen,
        "training_hours": round(trainer.seconds / 3600, 3),
        "valid_bound": trainer.figures["valid_bound"],
    }


def test_the_exported_pipeline_writes(trained, tmp_path):
    trainer, tokenizer = trained
    folder = export_pipeline(trainer, tokenizer, tmp_path / "pipeline", {"name": "euler"}, {"name": "x"})
    pipe = DiffusionLMPipeline.from_pretrained(folder)
    assert pipe.bigrams > 0  # the neighbours of its texts come with it,
    assert len(pipe(num_samples=2, steps=4, seed=0).texts) == 2
    pipe.bigrams = 0  # and samples of the training are the network's alone
    texts = pipe(num_samples=2, steps=4, seed=0).texts
    assert pipe.card["name"] == "x"
    with trainer.average.applied(trainer.denoiser):
        assert write_samples(trainer, tokenizer, "euler", 2, seed=0, steps=4) == texts


def test_samples_leave_the_random_numbers_of_training_alone(trained):
    trainer, tokenizer = trained
    torch.manual_seed(5)
    write_samples(trainer, tokenizer, "ancestral", 2, seed=0, steps=2)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)


def test_an_older_pipeline_is_replaced_and_its_readme_stays(trained, tmp_path):
    trainer, tokenizer = trained
    folder = export_pipeline(trainer, tokenizer, tmp_path / "pipeline", "euler")
    (folder / "README.md").write_text("mine")
    (folder / "readers" / "toxicity").mkdir()
    (folder / "readers" / "toxicity" / "config.json").write_text("{}")
    export_pipeline(trainer, tokenizer, folder, "ancestral")
    assert json.loads((folder / "model_index.json").read_text())["sampler"]["name"] == "ancestral"
    assert (folder / "README.md").read_text() == "mine"
    assert sorted(path.name for path in (folder / "readers").iterdir()) == ["bigrams", "toxicity"]
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline"]


def test_a_folder_of_something_else_is_not_touched(trained, tmp_path):
    trainer, tokenizer = trained
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"is not empty and holds no pipeline; set export=FOLDER"):
        export_pipeline(trainer, tokenizer, tmp_path)
    with pytest.raises(ValueError, match=r"which is a file; set export=FOLDER"):
        export_pipeline(trainer, tokenizer, tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_export_that_fails_leaves_the_older_pipeline(trained, tmp_path, monkeypatch):
    trainer, tokenizer = trained
    folder = export_pipeline(trainer, tokenizer, tmp_path / "pipeline")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    own = trainer.denoiser.embeddings.detach().clone()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffusionlm.checkpoints.loading.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        export_pipeline(trainer, tokenizer, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline"]
    assert torch.equal(trainer.denoiser.embeddings, own)


def test_the_folder_of_a_run_points_to_its_pipeline(tmp_path):
    run = tmp_path / "runs" / "mine"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(
        FileNotFoundError, match=r"is a training run that has not finished.* will be in \S*mine/pipeline"
    ):
        DiffusionLMPipeline.from_pretrained(run)
    (run / "pipeline").mkdir()
    (run / "pipeline" / "model_index.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"the one of this run is \S*mine/pipeline"):
        DiffusionLMPipeline.from_pretrained(run)
