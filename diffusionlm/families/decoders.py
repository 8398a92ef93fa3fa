"""Decoders of the kind of Llama and Qwen that were trained as masked diffusion models: weights into transformers' own classes.

A2D Qwen3/Qwen2 (dllm-hub), SDAR, Dream, LLaDA. Their folders ask for remote code, which is never run: `Decoder` gives the
stock network the attention that it was trained with.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from diffusionlm.families.building import build, find_tokenizer
from diffusionlm.families.family import FAMILIES, Checkpoint, Choices, Family, Loaded
from diffusionlm.families.masked_lm import longest
from diffusionlm.families.networks import Decoder
from diffusionlm.families.switches import Switches
from diffusionlm.families.weights import check_weights, fill, read_weights

MDLM = "Sahoo et al. 2024, Simple and effective masked diffusion language models"
LLADA = "Nie et al. 2025, Large language diffusion models"
DREAM = "Ye et al. 2025, Dream 7B: diffusion large language models"
BD3LM = "Arriola et al. 2025, Block diffusion: interpolating between autoregressive and diffusion language models"
_LEFT_OUT = [
    "_name_or_path",
    "auto_map",
    "architectures",
    "transformers_version",
    "model_type",
    "torch_dtype",
    "dtype",
    "use_cache",
]


@dataclass(frozen=True)
class DecoderKind:
    """A published family.

    Attributes:
        stock: ``model_type`` of the class of transformers that its weights fit.
        switches: how it was trained, from its config.json.
        mask_id, end_ids: where the tokenizer names none.
        rename: name of a weight in the file -> in the class; None: the same.
        config: config.json of the file -> of the class; None: the same.
        reference: publication.
    """

    stock: str
    switches: Callable[[dict[str, Any]], Switches]
    mask_id: int | None = None
    end_ids: tuple[int, ...] | None = None
    rename: Callable[[str], str | None] | None = None
    config: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    reference: str = MDLM


def llada_config(said: dict[str, Any]) -> dict[str, Any]:
    """LLaDA's config.json (OLMo's names) in Llama's names.

    Raises:
        ValueError: for another architecture of the same ``model_type``, or what a Llama cannot express.
    """
    if "num_experts" in said or said.get("block_type", "llama") != "llama" or said.get("alibi"):
        raise ValueError(
            "This checkpoint calls itself 'llada' but is no plain LLaDA-8B (mixture of experts, or another block); its "
            "architecture is not known here."
        )
    return {
        "vocab_size": said.get("embedding_size") or said["vocab_size"],
        "hidden_size": said["d_model"],
        "intermediate_size": said["mlp_hidden_size"],
        "num_hidden_layers": said["n_layers"],
        "num_attention_heads": said["n_heads"],
        "num_key_value_heads": said.get("n_kv_heads") or said["n_heads"],
        "max_position_embeddings": said.get("max_sequence_length", 4096),
        "rms_norm_eps": said.get("rms_norm_eps", 1e-5),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(said.get("rope_theta", 500_000.0))},
        "attention_bias": bool(said.get("include_qkv_bias", False)),
        "tie_word_embeddings": bool(said.get("weight_tying", False)),
    }


_LLADA_LAYER = {
    "attn_norm": "input_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_norm": "post_attention_layernorm",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}
_LLADA_OTHER = {
    "wte.weight": "model.embed_tokens.weight",
    "ln_f.weight": "model.norm.weight",
    "ff_out.weight": "lm_head.weight",
}


def llada_name(name: str) -> str | None:
    """Name of a weight of LLaDA in Llama's names; names that it does not know stay, and are refused as unknown.

    Example:
        >>> llada_name("model.transformer.blocks.3.ff_proj.weight")
        'model.layers.3.mlp.gate_proj.weight'
    """
    own = name.removeprefix("model.").removeprefix("transformer.")
    found = re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(weight|bias)", own)
    if found and found[2] in _LLADA_LAYER:
        return f"model.layers.{found[1]}.{_LLADA_LAYER[found[2]]}.{found[3]}"
    return _LLADA_OTHER.get(own, name)


def _blocks(default: int) -> Callable[[dict[str, Any]], Switches]:
    return lambda said: Switches(
        attention=f"blocks:{int(said.get('block_size') or said.get('block_length') or default)}"
    )


def _a2d(said: dict[str, Any]) -> Switches:
    size = said.get("block_size")
    return Switches(attention=f"blocks:{int(size)}") if size else Switches()


KINDS = {
    "a2d-qwen3": DecoderKind("qwen3", _a2d, 151669),
    "a2d-qwen2": DecoderKind("qwen2", _a2d),
    "a2d-llama": DecoderKind("llama", _a2d),
    "sdar": DecoderKind("qwen3", _blocks(4), 151669, reference=BD3LM),
    "Dream": DecoderKind("qwen2", lambda said: Switches(shift=1), 151666, reference=DREAM),
    "llada": DecoderKind("llama", lambda said: Switches(), 126336, None, llada_name, llada_config, LLADA),
}
PLAIN = (
    "qwen3",
    "qwen2",
    "llama",
    "mistral",
    "gpt2",
    "gpt_neox",
    "gemma",
    "gemma2",
    "phi3",
    "olmo",
    "olmo2",
    "smollm3",
)


def _kind(checkpoint: Checkpoint) -> DecoderKind | None:
    lower = {name.lower(): kind for name, kind in KINDS.items()}
    return lower.get(checkpoint.model_type.lower())


@FAMILIES.register("diffusion-decoder")
class DiffusionDecoder(Family):
    """Published decoders whose weights fit a class of transformers."""

    summary = "A2D Qwen3 and Qwen2.5 (mdlm, bd3lm), SDAR, Dream, LLaDA-8B; weights only, in classes of transformers"
    model_types = tuple(KINDS)

    @classmethod
    def recognises(cls, checkpoint: Checkpoint, choices: Choices) -> bool:
        """See `Family`."""
        return _kind(checkpoint) is not None

    @classmethod
    def load(cls, checkpoint: Checkpoint, choices: Choices) -> Loaded:
        """Puts the weights of a published family into transformers' own class."""
        from transformers import CONFIG_MAPPING, AutoModelForCausalLM

        kind = _kind(checkpoint)
        assert kind is not None
        said = checkpoint.config
        own = (
            kind.config(said) if kind.config else {name: value for name, value in said.items() if name not in _LEFT_OUT}
        )
        config = CONFIG_MAPPING[kind.stock](**own)
        config._attn_implementation = "sdpa"
        dtype = choices.dtype or _dtype(said)
        with torch.device("meta"):
            module = AutoModelForCausalLM.from_config(config)
        tied = ("lm_head.weight",) if config.tie_word_embeddings else ()
        rename = kind.rename or (lambda name: None if name.endswith("rotary_emb.inv_freq") else name)
        fill(module, read_weights(checkpoint.folder), rename, checkpoint.folder, dtype, tied)
        _finish(module)
        source = find_tokenizer(checkpoint, choices)
        mask_id = said.get("mask_token_id", kind.mask_id)
        return from_decoder(module, source, choices, kind.switches(said), mask_id, kind.end_ids, (kind.reference,))


@FAMILIES.register("plain-decoder")
class PlainDecoder(Family):
    """Decoders that were trained as diffusion models though their folder does not say so."""

    summary = "Qwen3, Qwen2, Llama folders with family='masked' (and shift, attention, mask_token)"
    model_types = ()

    @classmethod
    def recognises(cls, checkpoint: Checkpoint, choices: Choices) -> bool:
        """See `Family`."""
        return choices.family is not None and checkpoint.model_type in PLAIN

    @classmethod
    def load(cls, checkpoint: Checkpoint, choices: Choices) -> Loaded:
        """A decoder that was trained as a diffusion model though its folder does not say so."""
        from transformers import AutoModelForCausalLM

        check_weights(checkpoint.folder)
        module = AutoModelForCausalLM.from_pretrained(
            checkpoint.folder,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=choices.dtype,
            attn_implementation="sdpa",
        ).eval()
        return from_decoder(module, find_tokenizer(checkpoint, choices), choices)


def from_decoder(
    module: Any,
    source: Any,
    choices: Choices,
    switches: Switches | None = None,
    mask_id: int | None = None,
    ends: tuple[int, ...] | None = None,
    references: tuple[str, ...] = (MDLM,),
) -> Loaded:
    """A causal language model of transformers that is loaded already."""
    return build(
        Decoder(module),
        source,
        choices,
        vocab_size=int(module.config.vocab_size),
        max_length=longest(module.config, source),
        switches=switches,
        mask_id=mask_id,
        ends=ends,
        references=references,
        card={"summary": f"{type(module).__name__} of transformers, read as a masked diffusion model"},
    )


def _dtype(said: dict[str, Any]) -> torch.dtype | None:
    name = said.get("dtype") or said.get("torch_dtype")
    found = getattr(torch, str(name).removeprefix("torch."), None)
    return found if isinstance(found, torch.dtype) else None


def _finish(module: Any) -> None:
    """Ties weights, and computes the buffers that no file holds and that stand on the meta device still."""
    module.tie_weights()
    rotary = module.model.rotary_emb
    module.model.rotary_emb = type(rotary)(module.config)
    module.eval()
