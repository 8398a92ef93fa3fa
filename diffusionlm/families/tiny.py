"""Tiny random models of every family, made by the libraries' own classes: for tests, tables and first steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from diffusionlm.families.decoders import from_decoder
from diffusionlm.families.diffusion_transformers import MDLM
from diffusionlm.families.dit import DiffusionTransformer, DiTConfig, TokenDiT
from diffusionlm.families.family import Choices, Loaded
from diffusionlm.families.langflow import LangFlowDenoiser, LangFlowModel
from diffusionlm.families.masked_lm import from_masked_lm
from diffusionlm.families.sheet import Frame
from diffusionlm.families.switches import Switches
from diffusionlm.families.tiny_tokenizers import byte_bpe_tokenizer, sentencepiece_tokenizer, wordpiece_tokenizer
from diffusionlm.text.foreign import ForeignTokenizer

_SIZES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def tiny_module(name: str, seed: int = 0) -> tuple[Any, Any]:
    """A random model of transformers and its tokenizer.

    Args:
        name: "bert", "roberta", "modernbert", "qwen3", "qwen2" or "llama".
        seed: of its weights.
    """
    import transformers

    source = {"bert": wordpiece_tokenizer, "llama": sentencepiece_tokenizer}.get(name, byte_bpe_tokenizer)()
    size = len(source) + 3  # as published models have, more rows than tokens
    grouped: dict[str, Any] = {"num_key_value_heads": 2, "max_position_embeddings": 128}
    special: dict[str, Any] = {
        "pad_token_id": source.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": source.eos_token_id,
    }
    configs: dict[str, Callable[[], Any]] = {
        "bert": lambda: transformers.BertConfig(vocab_size=size, max_position_embeddings=128, **_SIZES),
        "roberta": lambda: transformers.RobertaConfig(
            vocab_size=size, max_position_embeddings=130, pad_token_id=source.pad_token_id, **_SIZES
        ),
        "modernbert": lambda: transformers.ModernBertConfig(
            vocab_size=size,
            max_position_embeddings=128,
            local_attention=16,
            **special,
            cls_token_id=None,
            sep_token_id=None,
            **_SIZES,
        ),
        "qwen3": lambda: transformers.Qwen3Config(vocab_size=size, head_dim=8, **special, **grouped, **_SIZES),
        "qwen2": lambda: transformers.Qwen2Config(vocab_size=size, **special, **grouped, **_SIZES),
        "llama": lambda: transformers.LlamaConfig(vocab_size=size, **special, **grouped, **_SIZES),
    }
    causal = name in ("qwen3", "qwen2", "llama")
    kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModelForMaskedLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = kind.from_config(configs[name]())
        with torch.no_grad():
            for weights in module.parameters():
                if weights.dim() > 1:
                    weights.normal_(0.0, 0.3)
    return module.eval(), source


def _masked(name: str, seed: int) -> Loaded:
    return from_masked_lm(*tiny_module(name, seed), Choices(family="masked"))


def _decoder(name: str, seed: int) -> Loaded:
    return from_decoder(*tiny_module(name, seed), Choices(family="masked"))


def tiny_transformer(size: int, seed: int = 0, **more: Any) -> DiffusionTransformer:
    """A random diffusion transformer over ``size`` tokens."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DiffusionTransformer(DiTConfig(size, 32, 16, 2, 4, **more)).eval()
        with torch.no_grad():
            for weights in network.parameters():
                if weights.dim() > 1:
                    weights.normal_(0.0, 0.15)
    return network


def _mdlm(name: str, seed: int) -> Loaded:
    from diffusionlm.families.building import build

    source = byte_bpe_tokenizer(mask=False)
    network = TokenDiT(tiny_transformer(len(source) + 1, seed))
    return build(
        network,
        source,
        Choices(),
        vocab_size=len(source) + 1,
        max_length=128,
        switches=Switches(),
        mask_id=len(source),
        framed=False,
        references=(MDLM,),
    )


def _langflow(name: str, seed: int) -> Loaded:
    source = byte_bpe_tokenizer(mask=False)
    network = tiny_transformer(len(source), seed, self_conditioning=True, unit_embeddings=True)
    tokenizer = ForeignTokenizer(source, len(source), source.eos_token_id)
    denoiser = LangFlowDenoiser(network, 128, tokenizer.pad_id).eval()
    model = LangFlowModel(denoiser, Frame(filler=tokenizer.pad_id), sorted(tokenizer.special_ids))
    schedule = {"kind": "information", "mu": 1.0, "beta": 1.0, "gamma_min": -3.0, "gamma_max": 8.0}
    defaults = {"schedule": schedule, "sampler": "euler", "max_length": 64, "max_span_length": 12}
    return Loaded(model, tokenizer, defaults)


TINY: dict[str, Callable[[str, int], Loaded]] = {
    "bert": _masked,
    "roberta": _masked,
    "modernbert": _masked,
    "qwen3": _decoder,
    "qwen2": _decoder,
    "llama": _decoder,
    "mdlm": _mdlm,
    "langflow": _langflow,
}


def tiny_loaded(name: str, seed: int = 0) -> Loaded:
    """A tiny random model of a family, ready for a pipeline.

    Args:
        name: of `TINY`.
        seed: of its weights.
    """
    return TINY[name](name, seed)


def tiny_diffusion_gemma(canvas_length: int = 12, seed: int = 0) -> tuple[Any, Any]:
    """A random DiffusionGemma of transformers and its tokenizer, for `diffusionlm.integrations`."""
    from transformers import AutoConfig, DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DiffusionGemmaTextConfig

    source = byte_bpe_tokenizer(chat=True, mask=False)
    size = len(source)
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    wide: dict[str, Any] = {"global_head_dim": 16}
    text = DiffusionGemmaTextConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        max_position_embeddings=256,
        pad_token_id=source.pad_token_id,
        eos_token_id=source.eos_token_id,
        bos_token_id=None,
        sliding_window=64,
        layer_types=["sliding_attention", "full_attention"],
        num_experts=2,
        top_k_experts=1,
        moe_intermediate_size=16,
        **heads,
        **wide,
    )
    seeing = AutoConfig.for_model(
        "gemma4_vision", hidden_size=16, intermediate_size=16, num_hidden_layers=1, position_embedding_size=32, **heads
    )
    unused: dict[str, Any] = {"image_token_id": size + 1, "boi_token_id": size + 2, "eoi_token_id": size + 3}
    config = DiffusionGemmaConfig(text_config=text, vision_config=seeing, canvas_length=canvas_length, **unused)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DiffusionGemmaForBlockDiffusion(config).eval(), source
