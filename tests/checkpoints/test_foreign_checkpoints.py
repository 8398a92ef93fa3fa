"""Folders of other people's models: recognised by config.json, weights into stock classes, and a sentence for all others."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusionlm import DiffusionLMPipeline
from diffusionlm.checkpoints.foreign import describe_foreign, is_foreign, load_foreign
from diffusionlm.families.decoders import llada_name
from diffusionlm.families.tiny import tiny_module, tiny_transformer
from diffusionlm.families.tiny_tokenizers import byte_bpe_tokenizer


def save(folder, name, **changes):
    """A folder as transformers writes it, with entries of its config.json replaced."""
    module, source = tiny_module(name)
    module.save_pretrained(folder)
    source.save_pretrained(folder)
    change(folder, **changes)
    return module, source


def change(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert"])
def test_a_masked_language_model_loads_by_its_folder_with_a_warning(tmp_path, name):
    module, _ = save(tmp_path, name)
    with pytest.warns(UserWarning, match="not to write from nothing"):
        loaded = load_foreign(tmp_path)
    for own, theirs in zip(loaded.model.network.module.parameters(), module.parameters(), strict=True):
        assert torch.equal(own, theirs)
    assert 120 <= loaded.model.max_length <= 129
    assert is_foreign(tmp_path)
    assert describe_foreign(tmp_path)["family"] == "masked-lm"


def test_a_folder_goes_through_the_pipeline(tmp_path, recwarn):
    save(tmp_path, "modernbert")
    pipe = DiffusionLMPipeline.from_pretrained(tmp_path, family="masked")
    assert not [w for w in recwarn if "write from nothing" in str(w.message)]
    pipe.set_progress_bar_config(disable=True)
    assert pipe("The [SPAN:3] is near.", steps=2, seed=0).texts[0].endswith(" is near.")


@pytest.mark.parametrize(
    ("model_type", "stock", "shift", "attention"),
    [
        ("a2d-qwen3", "qwen3", 0, "full"),
        ("sdar", "qwen3", 0, "blocks:4"),
        ("Dream", "qwen2", 1, "full"),
        ("a2d-llama", "llama", 0, "full"),
    ],
)
def test_published_decoders_load_their_weights_and_switches(tmp_path, model_type, stock, shift, attention):
    module, _ = save(
        tmp_path, stock, model_type=model_type, auto_map={"AutoModel": "their.py"}, architectures=["Their"]
    )
    loaded = load_foreign(tmp_path)
    assert (loaded.model.switches.shift, loaded.model.switches.attention) == (shift, attention)
    theirs = dict(module.named_parameters())
    own = dict(loaded.model.network.module.named_parameters())
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[key], theirs[key]) for key in own)
    ids = torch.arange(20, 30)[None]
    full = torch.zeros(1, 1, 10, 10)
    at = torch.arange(10)[None]
    same = loaded.model.network.module(input_ids=ids, attention_mask=full, position_ids=at).logits
    torch.testing.assert_close(same, module(input_ids=ids, attention_mask=full, position_ids=at).logits)


def test_llada_loads_by_a_table_of_names(tmp_path):
    module, source = tiny_module("llama")
    config = module.config
    names = {llada_name(given): given for given in llada_names(config.num_hidden_layers)}
    assert set(names) == set(dict(module.named_parameters()))
    weights = {names[key]: value.detach().clone() for key, value in module.named_parameters()}
    save_file(weights, tmp_path / "model.safetensors")
    source.save_pretrained(tmp_path)
    sizes = {
        "model_type": "llada",
        "block_type": "llama",
        "d_model": config.hidden_size,
        "mlp_hidden_size": config.intermediate_size,
        "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads,
        "n_kv_heads": config.num_key_value_heads,
        "embedding_size": config.vocab_size,
        "vocab_size": config.vocab_size - 1,
        "max_sequence_length": 128,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": 10_000.0,
        "mask_token_id": source.mask_token_id,
    }
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    loaded = load_foreign(tmp_path)
    ids, full, at = torch.arange(300, 310)[None], torch.zeros(1, 1, 10, 10), torch.arange(10)[None]
    same = loaded.model.network.module(input_ids=ids, attention_mask=full, position_ids=at).logits
    torch.testing.assert_close(same, module(input_ids=ids, attention_mask=full, position_ids=at).logits)
    change(tmp_path, rope_theta=500_000.0)
    assert load_foreign(tmp_path).model.network.module.config.rope_parameters["rope_theta"] == 500_000.0
    change(tmp_path, num_experts=4)
    with pytest.raises(ValueError, match="no plain LLaDA-8B"):
        load_foreign(tmp_path)


def llada_names(layers):
    own = ["attn_norm", "q_proj", "k_proj", "v_proj", "attn_out", "ff_norm", "ff_proj", "up_proj", "ff_out"]
    blocks = [f"model.transformer.blocks.{n}.{name}.weight" for n in range(layers) for name in own]
    return [*blocks, *(f"model.transformer.{name}.weight" for name in ("wte", "ln_f", "ff_out"))]


def dit_folder(folder, model_type, size, **more):
    network = tiny_transformer(size, **more)
    weights = {f"backbone.{name}": value.clone() for name, value in network.state_dict().items()}
    weights["backbone.rotary_emb.inv_freq"] = torch.ones(4)
    if model_type == "LangFlow":
        weights |= {f"proposal.{n}": torch.tensor(v) for n, v in (("loc", 4.0), ("scale", 0.8), ("entropy", 7.0))}
    save_file(weights, folder / "model.safetensors")
    sizes = {"hidden_size": 32, "cond_dim": 16, "n_blocks": 2, "n_heads": 4, "model_length": 64}
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": size, **sizes}))
    return network


def test_mdlm_and_langflow_load_by_their_published_names(tmp_path):
    source = byte_bpe_tokenizer(mask=False)
    (tmp_path / "m").mkdir()
    network = dit_folder(tmp_path / "m", "mdlm", len(source) + 1)
    loaded = load_foreign(tmp_path / "m", tokenizer=source)
    assert loaded.model.mask_id == len(source)
    own = loaded.model.network.module.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())
    (tmp_path / "l").mkdir()
    dit_folder(tmp_path / "l", "LangFlow", len(source), self_conditioning=True, unit_embeddings=True)
    loaded = load_foreign(tmp_path / "l", tokenizer=source)
    assert loaded.defaults["schedule"]["mu"] == pytest.approx(4.0)
    assert loaded.defaults["schedule"]["beta"] == pytest.approx(0.8)
    assert "latents" in loaded.model.offers
    with pytest.raises(ValueError, match="cannot be changed to 1"):
        load_foreign(tmp_path / "l", tokenizer=source, shift=1)
    with pytest.raises(ValueError, match="do not belong together"):
        load_foreign(tmp_path / "l", tokenizer=byte_bpe_tokenizer(size=500))


def test_plain_decoders_are_causal_unless_the_user_says_otherwise(tmp_path):
    save(tmp_path, "qwen3")
    with pytest.raises(
        ValueError, match=r"is a causal language model \(qwen3\), which writes from left to right: .*family='masked'"
    ):
        load_foreign(tmp_path)
    loaded = load_foreign(tmp_path, family="masked", shift=1, attention="blocks:8")
    assert loaded.model.switches.block == 8
    assert "causal language model" in describe_foreign(tmp_path)["family"]


def test_other_folders_get_one_sentence(tmp_path):
    save(tmp_path, "bert")
    for changes, match in (
        ({"model_type": "brain", "architectures": ["Brain"]}, "says model_type 'brain', .* Known are .*Dream.*mdlm"),
        ({"model_type": "brain", "architectures": ["B"], "auto_map": {}}, "asks for remote code, which is never run"),
        ({"model_type": "diffusion_gemma"}, "SteeringLogitsProcessor"),
        ({"model_type": "llada2_moe"}, "SteeringScheduler"),
    ):
        change(tmp_path, **changes)
        with pytest.raises(ValueError, match=match):
            load_foreign(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="no JSON object"):
        load_foreign(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        load_foreign(tmp_path)


def test_what_is_asked_for_wrongly_is_refused(tmp_path):
    save(tmp_path, "qwen3", model_type="a2d-qwen3")
    with pytest.raises(ValueError, match="never run here"):
        load_foreign(tmp_path, trust_remote_code=True)
    with pytest.raises(TypeError, match="no argument 'atention'; did you mean 'attention'"):
        load_foreign(tmp_path, atention="full")
    with pytest.raises(ValueError, match="float16, which a CPU computes"):
        load_foreign(tmp_path, torch_dtype=torch.float16)
    assert load_foreign(tmp_path, torch_dtype=torch.bfloat16).model.network.dtype == torch.bfloat16
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"do not fit its config.json \(missing: model.norm.weight"):
        load_foreign(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="pytorch_model.bin is a pickle"):
        load_foreign(tmp_path)


def test_a_missing_mask_token_or_tokenizer_is_told(tmp_path):
    module, _ = tiny_module("qwen3")
    module.save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="has no tokenizer"):
        load_foreign(tmp_path, family="masked")
    byte_bpe_tokenizer(mask=False).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="mask_token="):
        load_foreign(tmp_path, family="masked")
    assert load_foreign(tmp_path, family="masked", mask_token="<|mask|>").model.mask_id == 1
    shutil.rmtree(tmp_path)


def test_a_shift_that_clean_text_contradicts_is_warned_of_when_asked(tmp_path, monkeypatch):
    from diffusionlm.checkpoints import foreign
    from diffusionlm.families.self_test import SelfTest

    save(tmp_path, "qwen3", model_type="a2d-qwen3")
    monkeypatch.setattr(foreign, "run_self_test", lambda model, tokenizer: SelfTest(0, (0.1, 0.9), (-8.0, -1.0), 1.0))
    with pytest.warns(UserWarning, match="load the model with shift=1"):
        load_foreign(tmp_path, self_test=True)


def test_info_describes_and_tests_a_folder(tmp_path, capsys):
    from diffusionlm.commands.info import main

    save(tmp_path, "qwen3", model_type="a2d-qwen3")
    assert main([str(tmp_path)]) == 0
    assert "diffusion-decoder" in capsys.readouterr().out
    main([str(tmp_path), "--self-test"])
    assert "token i reacts to token i+1" in capsys.readouterr().out
