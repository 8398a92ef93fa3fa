"""Pipeline folders: round trips, and one clear sentence for every way in which a checkpoint can be broken."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusionlm.checkpoints.folders import bundled_names, find_folder
from diffusionlm.checkpoints.loading import write_folder
from diffusionlm.pipeline import DiffusionLMPipeline


@pytest.fixture
def folder(tiny_pipe, tmp_path):
    tiny_pipe.card = {"summary": "a test"}
    tiny_pipe.save_pretrained(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_round_trip(tiny_pipe, folder) -> None:
    loaded = DiffusionLMPipeline.from_pretrained(folder)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.card == {"summary": "a test"}
    assert loaded.schedule == tiny_pipe.schedule
    text = "The [SPAN:4] pub near [SPAN]."
    assert loaded(text, steps=4, seed=0).texts == tiny_pipe(text, steps=4, seed=0).texts


def test_saving_over_a_folder_keeps_what_people_wrote(tiny_pipe, folder) -> None:
    (folder / "README.md").write_text("a card")
    tiny_pipe.save_pretrained(folder)
    assert (folder / "README.md").read_text() == "a card"
    assert [path.name for path in folder.parent.iterdir()] == ["pipe"]


def test_who_may_read_the_folder_may_read_the_weights(folder) -> None:
    modes = {path.stat().st_mode for path in (folder / "denoiser").iterdir()}
    assert len(modes) == 1


def test_a_failed_save_leaves_the_old_folder(folder) -> None:
    before = (folder / "model_index.json").read_text()

    def fail(draft):
        (draft / "model_index.json").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(folder, fail)
    assert (folder / "model_index.json").read_text() == before
    assert [path.name for path in folder.parent.iterdir()] == ["pipe"]


def test_unknown_names_list_the_bundled_ones(tmp_path) -> None:
    for name in ("restorant", str(tmp_path / "none")):
        with pytest.raises(FileNotFoundError, match="Bundled checkpoints"):
            DiffusionLMPipeline.from_pretrained(name)
    with pytest.raises(FileNotFoundError, match="is no pipeline"):
        DiffusionLMPipeline.from_pretrained(tmp_path)


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _poison(path):
    state = load_file(path)
    state["head.bias"][3] = float("nan")
    save_file(state, path)


def _change(path):
    state = load_file(path)
    state["head.bias"] += 1
    save_file(state, path)


@pytest.mark.parametrize(
    ("part", "damage", "words"),
    [
        ("denoiser/model.safetensors", _truncate, "damaged"),
        ("denoiser/model.safetensors", _change, "SHA-256"),
        ("model_index.json", _truncate, "cannot be read"),
        ("tokenizer/tokenizer.json", _truncate, "cannot be read"),
    ],
)
def test_damaged_files_are_named(folder, part, damage, words) -> None:
    damage(folder / part)
    with pytest.raises(ValueError, match=words):
        DiffusionLMPipeline.from_pretrained(folder)


@pytest.mark.parametrize("part", ["denoiser/model.safetensors", "denoiser/config.json", "tokenizer/tokenizer.json"])
def test_missing_files_are_named(folder, part) -> None:
    (folder / part).unlink()
    with pytest.raises(FileNotFoundError, match=part.split("/")[1]):
        DiffusionLMPipeline.from_pretrained(folder)


def _edit(path, **changes):
    data = json.loads(path.read_text())
    for key, value in changes.items():
        data.pop(key, None) if value is None else data.update({key: value})
    path.write_text(json.dumps(data))


def test_nan_weights_are_refused(folder) -> None:
    _poison(folder / "denoiser/model.safetensors")
    _edit(folder / "model_index.json", sha256=None)
    with pytest.raises(ValueError, match=r"NaN.*head\.bias"):
        DiffusionLMPipeline.from_pretrained(folder)


def test_weights_that_do_not_fit_are_refused(folder) -> None:
    _edit(folder / "denoiser/config.json", num_hidden_layers=3)
    with pytest.raises(ValueError, match="do not fit"):
        DiffusionLMPipeline.from_pretrained(folder)


def test_a_newer_config_is_refused(folder) -> None:
    _edit(folder / "denoiser/config.json", config_version=99)
    with pytest.raises(ValueError, match="upgrade diffusionlm"):
        DiffusionLMPipeline.from_pretrained(folder)


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("denoiser/config.json", {"config_version": "2"}, "config_version must be an integer up to 1, got '2'"),
        ("denoiser/config.json", {"rope_parameters": 5}, "rope_parameters must be a dictionary"),
        ("model_index.json", {"schedule": 5}, "A noise schedule is a dictionary with its kind and settings, got 5"),
        ("model_index.json", {"schedule": {"kind": "x"}}, "Unknown noise schedule 'x'"),
        ("model_index.json", {"sampler": "eular"}, "did you mean 'euler'"),
        ("model_index.json", {"max_length": "x"}, "max_length must be an integer of at least 1, got 'x'"),
        ("model_index.json", {"max_span_length": -1}, "max_span_length must be an integer of at least 1, got -1"),
        ("model_index.json", {"temperature": "hot"}, "temperature must be positive and finite, got 'hot'"),
        ("model_index.json", {"card": 5}, "card must be a dictionary"),
    ],
)
def test_settings_that_make_no_sense_are_named(folder, part, changes, words) -> None:
    _edit(folder / part, **changes)
    with pytest.raises(ValueError, match=words):
        DiffusionLMPipeline.from_pretrained(folder)


def test_an_index_that_is_no_object_is_refused(folder) -> None:
    (folder / "model_index.json").write_text("[]")
    with pytest.raises(ValueError, match="is no JSON object"):
        DiffusionLMPipeline.from_pretrained(folder)


def test_arguments_that_nothing_reads_are_refused(folder) -> None:
    with pytest.raises(TypeError, match="no argument 'hidden_sizes'; did you mean 'hidden_size'"):
        DiffusionLMPipeline.from_pretrained(folder, hidden_sizes=3)
    loaded = DiffusionLMPipeline.from_pretrained(folder, attn_implementation="eager", max_position_embeddings=80)
    assert loaded.denoiser.config.max_position_embeddings == 80


def test_the_dtype_has_the_name_that_transformers_gives_it_too(folder) -> None:
    for name in ("dtype", "torch_dtype"):
        assert DiffusionLMPipeline.from_pretrained(folder, **{name: torch.bfloat16}).denoiser.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="are two names of one setting"):
        DiffusionLMPipeline.from_pretrained(folder, dtype=torch.bfloat16, torch_dtype=torch.float32)
    for name, meant in {"dtypes": "dtype", "map_location": "device"}.items():
        with pytest.raises(TypeError, match=f"no argument '{name}'; did you mean '{meant}'"):
            DiffusionLMPipeline.from_pretrained(folder, **{name: None})
    with pytest.raises(TypeError, match="there are: .*device, dtype, .*torch_dtype"):
        DiffusionLMPipeline.from_pretrained(folder, xyz=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"torch_dtype": "float16"}, "torch_dtype must be a floating-point dtype"),
        ({"torch_dtype": torch.int8}, "torch_dtype must be a floating-point dtype"),
        ({"device": "bogus"}, "The device 'bogus' cannot be used here .* use device='cpu'"),
    ],
)
def test_a_dtype_or_device_that_cannot_be_is_refused(folder, arguments, words) -> None:
    with pytest.raises(ValueError, match=words):
        DiffusionLMPipeline.from_pretrained(folder, **arguments)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="A checkpoint is a bundled name, a folder, or owner/name on the Hub; got None"):
        DiffusionLMPipeline.from_pretrained(None)
    with pytest.raises(FileNotFoundError, match="name is empty"):
        DiffusionLMPipeline.from_pretrained("")


def test_a_hub_that_does_not_answer_is_one_sentence(monkeypatch) -> None:
    def fail(*args, **kwargs):
        raise OSError("no network\ncheck the connection.")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(FileNotFoundError, match=r"no folder 'a/b', and the Hub gave none: no network check") as caught:
        DiffusionLMPipeline.from_pretrained("a/b")
    assert "\n" not in str(caught.value)


def test_saving_to_a_file_is_refused(tiny_pipe, tmp_path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(NotADirectoryError, match="taken, which is a file; name a folder"):
        tiny_pipe.save_pretrained(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_pickles_are_never_read(folder) -> None:
    weights = folder / "denoiser/model.safetensors"
    torch.save({}, weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="never loaded"):
        DiffusionLMPipeline.from_pretrained(folder)


def test_a_foreign_tokenizer_is_refused(folder, tmp_path) -> None:
    from diffusionlm.text import TextTokenizer

    shutil.rmtree(folder / "tokenizer")
    TextTokenizer.bytes().save_pretrained(folder / "tokenizer")
    with pytest.raises(ValueError, match="do not belong together"):
        DiffusionLMPipeline.from_pretrained(folder)


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_checkpoints_write_text(name) -> None:
    pipe = DiffusionLMPipeline.from_pretrained(name)
    pipe.set_progress_bar_config(disable=True)
    assert sum(p.numel() for p in pipe.denoiser.parameters()) <= 30e6
    assert pipe.card["license"]
    texts = pipe(num_samples=4, steps=16, seed=0).texts
    assert all(len(text.split()) > 3 for text in texts)


def test_the_pipeline_of_a_run_that_has_not_finished_is_told_apart_from_a_wrong_name(tmp_path):
    (tmp_path / "mine" / "16").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"The run \S*mine has no pipeline yet"):
        find_folder(tmp_path / "mine" / "pipeline")
