"""Training on texts with images and sounds: from the file to the batch to the exported checkpoint, and what is refused."""

import json

import numpy as np
import pytest
import torch
from miniature_run import make_config

from diffusionlm.context import Image
from diffusionlm.context.media import read_patches
from diffusionlm.denoiser import IMAGE, SOUND, Piece, Places, span_model
from diffusionlm.denoiser.media import read_settings
from diffusionlm.pipeline import DiffusionLMPipeline
from diffusionlm.training.export import export_pipeline
from diffusionlm.training.run import build_trainer
from diffusionlm.training.step import TrainingStep

IMAGES = {"height": 2, "width": 4, "channels": 1, "patch": 2, "size": 8, "heads": 2, "layers": 1}
SOUNDS = {"rate": 100, "seconds": 0.4, "patch": 10, "size": 8, "heads": 2, "layers": 1}
WORDS = ["one", "two", "three"]


def rows(count=12):
    """Texts of which each has an image, every third none of a sound, and one is too long."""
    out = []
    for number in range(count):
        samples = None if number % 3 == 2 else [round(0.1 * number / count, 4)] * (10 + 2 * number)
        image = [[number] * 4, [number + 100] * 4]
        out.append({"text": f"this is {WORDS[number % 3]}", "picture": image, "heard": samples})
    out.insert(1, {"text": "too " * 40, "picture": [[0] * 4] * 2, "heard": None})
    return out


@pytest.fixture
def data(tmp_path):
    """A JSONL file of `rows`."""
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows()))
    return path


def config(folder, data, **changes):
    ours = {
        "data__image_field": "picture",
        "data__sound_field": "heard",
        "data__tokens_per_batch": 64,
        "model__image_encoder": IMAGES,
        "model__sound_encoder": SOUNDS,
    }
    return make_config(folder, data, **{**ours, **changes})


def test_every_text_is_drawn_with_its_own_image_and_sound(tmp_path, data):
    trainer, _ = build_trainer(config(tmp_path / "run", data))
    corpus, kept = trainer.train_source.corpus, rows()
    del kept[1]
    assert len(corpus) == len(kept)
    assert corpus.left_out == 1
    shown = corpus.media.padded(np.array([4, 2]))
    expected = [read_patches("image", np.array(kept[i]["picture"]), read_settings("image", IMAGES)) for i in (4, 2)]
    np.testing.assert_allclose(shown["image_values"], np.stack(expected), atol=1e-3)
    assert shown["sound_mask"].sum(1).tolist() == [2, 0]  # 18 samples in patches of 10; none
    half = corpus.select(np.array([5, 3]))
    np.testing.assert_array_equal(half.media.patches["image"][1], corpus.media.patches["image"][3])
    batches = [trainer.train_source.batch(step) for step in range(30)]
    without = sum(batch.image_values is None for batch in batches)
    assert 0 < without < 15
    seen = next(batch for batch in batches if batch.sound_values is not None)
    assert torch.equal(seen.rows(1, 2).image_values, seen.image_values[1:2])


def test_the_step_reads_them_as_the_pipeline_does(tmp_path, data):
    trainer, _ = build_trainer(config(tmp_path / "run", data))
    denoiser = trainer.denoiser.eval()
    torch.nn.init.normal_(denoiser.encoders["image"].blocks[0].o_proj.weight)
    batch = next(b for b in map(trainer.train_source.batch, range(20)) if b.sound_values is not None)
    context = {name: value for name, value in batch.context.items() if name.startswith(("image", "sound"))}
    empty = torch.zeros(len(batch.span_ids), 0)
    known = {f"{part}_{name}": empty for part in ("known", "prompt") for name in ("ids", "mask", "positions")}
    trained = TrainingStep(denoiser).memory(**known, **context)
    pieces = []
    for row in range(len(empty)):
        own = []
        for segment, kind in ((IMAGE, "image"), (SOUND, "sound")):
            values = batch.tensors()[f"{kind}_values"][row][batch.tensors()[f"{kind}_mask"][row]]
            if len(values):
                own.append(Piece(segment, row, torch.arange(-len(values), 0), raw=values))
        pieces.append(own)
    count = len(empty)
    one = torch.ones(count, 1)
    served = span_model(denoiser).condition(pieces, Places(one.bool(), 0 * one.long(), ~one.bool(), (1,) * count))
    for row in range(count):
        ours, theirs = (memory.keys[1][row][:, memory.mask[row]] for memory in (trained, served))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_text_checkpoint_learns_to_see_and_says_so_when_it_is_loaded(tmp_path, data):
    text = make_config(tmp_path / "text", data)
    first, tokenizer = build_trainer(text)
    first.average.update(first.denoiser, 0)
    export_pipeline(first, tokenizer, tmp_path / "base", "euler", {})
    start = {"init": str(tmp_path / "base"), "data__tokenizer": {"kind": "init"}, "seed": 5}
    trainer, tokenizer = build_trainer(config(tmp_path / "run", data, **start))
    old, new = first.denoiser.state_dict(), trainer.denoiser.state_dict()
    assert all(torch.equal(new[name][: len(value)], value) for name, value in old.items())
    assert new["segments"].shape[0] > old["segments"].shape[0]
    trainer.run()
    assert not torch.equal(
        new["encoders.image.patch_in.weight"], old.get("encoders.image.patch_in.weight", torch.zeros(0))
    )
    assert trainer.validate()["valid_bound"] > 0
    export_pipeline(trainer, tokenizer, tmp_path / "seeing", "euler", {})
    pipe = DiffusionLMPipeline.from_pretrained(tmp_path / "seeing")
    pipe.set_progress_bar_config(disable=True)
    result = pipe(context=[Image(np.array(rows()[0]["picture"]))], steps=2, seed=0)
    assert result.context[0][0]["source"] == "image"


def test_paths_stand_beside_the_data_file_and_faults_name_the_text(tmp_path):
    import PIL.Image

    folder = tmp_path / "data"
    folder.mkdir()
    PIL.Image.fromarray(np.zeros((2, 4), np.uint8)).save(folder / "a.png")
    changes = {"data__sound_field": None, "model__sound_encoder": None}
    path = folder / "texts.jsonl"
    path.write_text('{"text": "this is one", "picture": "a.png"}\n{"text": "this is two", "picture": "a.png"}\n')
    trainer, _ = build_trainer(config(tmp_path / "run", path, **changes))
    assert len(trainer.train_source.corpus.media.patches["image"]) == 2
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:30])
    path.write_text('{"text": "this is one", "picture": "a.png"}\n{"text": "this is two", "picture": "b.png"}\n')
    with pytest.raises(ValueError, match=r"texts.jsonl', text 2: .*b.png' cannot be read, it is cut off"):
        build_trainer(config(tmp_path / "other", path, **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__image_encoder": None}, "reads no images; give model.image_encoder="),
        ({"data__sound_field": None}, "nothing to learn from; give data.sound_field"),
        ({"data__image_field": "pictur"}, "Did you mean 'picture'"),
        ({"model__image_encoder": {**IMAGES, "height": 4}}, "text 1: The image has 2 x 4 pixels"),
        ({"model__image_encoder": {"encoder": "/nowhere"}}, "cannot be loaded by transformers"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, data, changes, words):
    with pytest.raises(ValueError, match=words):
        build_trainer(config(tmp_path / "run", data, **changes))


def test_a_frozen_encoder_of_transformers_comes_before_our_own(tmp_path, data):
    from transformers import CLIPImageProcessorPil as Processor
    from transformers import CLIPVisionConfig, CLIPVisionModel, WhisperConfig, WhisperFeatureExtractor, WhisperModel

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPVisionModel(CLIPVisionConfig(**small, image_size=8, patch_size=4)).save_pretrained(tmp_path / "clip")
    Processor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}).save_pretrained(tmp_path / "clip")
    sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 50, "max_source_positions": 20}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 1}
    WhisperModel(WhisperConfig(**sizes, **heads, **tokens, num_mel_bins=8)).save_pretrained(tmp_path / "whisper")
    WhisperFeatureExtractor(feature_size=8, chunk_length=1, n_fft=64, hop_length=400).save_pretrained(
        tmp_path / "whisper"
    )
    ours = {"size": 8, "heads": 2, "layers": 1}
    encoders = {
        "model__image_encoder": {"encoder": str(tmp_path / "clip"), **ours},
        "model__sound_encoder": {"encoder": str(tmp_path / "whisper"), "positions": 5, **ours},
    }
    trainer, tokenizer = build_trainer(config(tmp_path / "run", data, **encoders))
    settings = trainer.denoiser.config.image_encoder
    assert settings["features"] == 16
    patches = trainer.train_source.corpus.media.patches
    assert patches["image"][0].shape == (5, 16)  # 2 x 2 patches and the class token
    assert patches["sound"][0].shape == (5, 12)
    export_pipeline(trainer, tokenizer, tmp_path / "seeing", "euler", {})
    pipe = DiffusionLMPipeline.from_pretrained(tmp_path / "seeing")
    pipe.set_progress_bar_config(disable=True)
    image, processor = np.array(rows()[0]["picture"]), Processor.from_pretrained(tmp_path / "clip")
    call = {"steps": 1, "seed": 0}
    named = pipe(context=[Image(image)], **call).texts
    given = CLIPVisionModel.from_pretrained(tmp_path / "clip")
    assert pipe(context=[Image(image, encoder=(given, processor))], **call).texts == named
    other = CLIPVisionModel(CLIPVisionConfig(**small, image_size=8, patch_size=4))
    with pytest.raises(ValueError, match="this encoder is another"):
        pipe(context=[Image(image, encoder=(other, processor))], **call)
