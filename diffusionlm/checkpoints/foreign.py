"""Folders of other people's models: recognising them by config.json, and saying what to do with those that cannot be loaded."""

from __future__ import annotations

import math
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from diffusionlm.checkpoints.adapted import describe_adapted, is_adapted, load_adapted
from diffusionlm.checkpoints.folders import CONFIG, read_defaults
from diffusionlm.errors import refuse_unknown
from diffusionlm.families import FAMILIES, Checkpoint, Choices, Loaded
from diffusionlm.families.decoders import PLAIN, from_decoder
from diffusionlm.families.masked_lm import from_masked_lm
from diffusionlm.families.networks import Decoder
from diffusionlm.families.self_test import run_self_test

SWITCHES = tuple(item.name for item in fields(Choices) if item.name != "dtype")
ELSEWHERE = {
    "diffusion_gemma": "is a block-diffusion model with an encoder of its own: load it with transformers and steer its "
    "generate() with diffusionlm.integrations.SteeringLogitsProcessor, or diffusers' DiffusionGemmaPipeline with "
    "SteeringScheduler",
    "llada2_moe": "is a mixture of experts in remote code: load it yourself, put it into diffusers' LLaDA2Pipeline and steer "
    "that with diffusionlm.integrations.SteeringScheduler",
}


def is_foreign(folder: Path) -> bool:
    """True for a folder of somebody else's model: a config.json and no index of ours."""
    return (folder / CONFIG).is_file() and not (folder / "model_index.json").is_file()


def load_foreign(
    folder: str | Path,
    torch_dtype: torch.dtype | None = None,
    device: Any = None,
    self_test: bool = False,
    **switches: Any,
) -> Loaded:
    """Loads somebody else's model: weights into classes of transformers or of ours, never remote code.

    Args:
        folder: with config.json, safetensors and, most often, a tokenizer.
        torch_dtype: of the weights; None: as saved.
        device: where it is to stand; looked at for float16 only.
        self_test: warn where clean text contradicts shift or attention; costs a few passes of the network.
        switches: fields of `Choices`: family, corruption, shift, attention, time, mask_token, end_token, tokenizer, chat, base.

    Raises:
        TypeError: for a switch that does not exist.
        ValueError: for an unknown or causal model, one that belongs elsewhere, float16 on a CPU, or where remote code is asked
            for; says what can be done.
        FileNotFoundError: if weights or tokenizer are missing.
    """
    if switches.pop("trust_remote_code", False):
        raise ValueError(
            "trust_remote_code=True was asked for, but code from a checkpoint is never run here. Load the model yourself and "
            "pass it: DiffusionLMPipeline.from_model(model, tokenizer, family='masked', shift=..., mask_token=...)."
        )
    refuse_unknown("from_pretrained() of somebody else's model", switches, SWITCHES)
    choices = Choices(dtype=torch_dtype, **switches)
    _check_family(choices)
    checkpoint = Checkpoint.read(Path(folder))
    if is_adapted(checkpoint):
        loaded = load_adapted(checkpoint, choices)
    else:
        if choices.base is not None:
            raise ValueError(
                f"{folder} holds weights of its own, so base={choices.base!r} has no meaning; leave it out."
            )
        found = next((own for own in FAMILIES.values() if own.recognises(checkpoint, choices)), None)
        if found is None:
            raise ValueError(_what_it_is(checkpoint))
        loaded = found.load(checkpoint, choices)
    check_precision(loaded, device)
    if self_test:
        found_out = run_self_test(loaded.model, loaded.tokenizer)
        for sentence in found_out.contradictions():
            warnings.warn(sentence, stacklevel=3)
    return loaded


def foreign_parts(model: Any, tokenizer: Any, **switches: Any) -> Loaded:
    """A model object of transformers and its tokenizer, which may come from anywhere, remote code that the user ran included.

    Args:
        model: a masked language model, or a decoder with ``model`` and ``lm_head``.
        tokenizer: a fast tokenizer of transformers.
        switches: as for `load_foreign`.

    Raises:
        TypeError: for a switch that does not exist.
        ValueError: if model, tokenizer and switches do not fit together.
    """
    refuse_unknown("from_model()", switches, SWITCHES)
    choices = Choices(**switches)
    _check_family(choices)
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "config"):
        raise ValueError(f"from_model takes a model of transformers with a config, got {type(model).__name__}.")
    heads = type(model).__name__
    causal = heads.endswith(("ForCausalLM", "LMHeadModel")) or not hasattr(model, "get_output_embeddings")
    if causal and choices.family is None:
        raise ValueError(
            f"{heads} writes from left to right; if it was trained as a masked diffusion model, say so with family='masked' "
            "(and shift=1 where its logits are of the next token)."
        )
    if causal:
        loaded = from_decoder(model.eval(), tokenizer, choices)
    elif heads.endswith("ForMaskedLM") or not _is_decoder(model):
        loaded = from_masked_lm(model.eval(), tokenizer, choices)
    else:
        loaded = from_decoder(model.eval(), tokenizer, choices)
    check_precision(loaded, None)
    return loaded


def describe_foreign(folder: Path) -> dict[str, Any]:
    """Facts of somebody else's folder, from its configuration and the headers of its weights."""
    checkpoint = Checkpoint.read(folder)
    if is_adapted(checkpoint):
        return describe_adapted(checkpoint)
    found = next((own for own in FAMILIES.values() if own.recognises(checkpoint, Choices())), None)
    own, size = read_defaults(folder), 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "numpy") as weights:
            size += sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118
    return {
        "folder": str(folder),
        "parameters": size,
        "model_type": checkpoint.model_type,
        "architectures": list(checkpoint.architectures),
        "family": found.name if found is not None else _what_it_is(checkpoint),
        **{name: own[name] for name in ("max_length", "steps", "sampler", "temperature") if name in own},
        "card": own.get("card") or {"summary": found.summary if found is not None else "not loaded by this library"},
    }


def check_precision(loaded: Loaded, device: Any) -> None:
    """Raises ValueError for float16 weights that are to compute on a CPU."""
    network: torch.nn.Module = loaded.model.network  # type: ignore[attr-defined]
    table = next(network.parameters())
    if table.dtype == torch.float16 and torch.device(device or table.device).type == "cpu":
        raise ValueError(
            "The weights are float16, which a CPU computes slowly and with overflow; load them with torch_dtype=torch.float32 "
            "or torch.bfloat16, or with device='cuda'."
        )


def _is_decoder(model: Any) -> bool:
    try:
        Decoder(model)
    except ValueError:
        return False
    return True


def _check_family(choices: Choices) -> None:
    if choices.family not in (None, "masked"):
        raise ValueError(f"family must be 'masked' (a masked diffusion model) or left out, got {choices.family!r}.")


def _what_it_is(checkpoint: Checkpoint) -> str:
    """One sentence for a folder that no family loads: what it is, and what can be done."""
    kind, name = checkpoint.model_type, checkpoint.folder.name
    if kind in ELSEWHERE:
        return f"{name} ({kind}) {ELSEWHERE[kind]}."
    if kind in PLAIN or any(head.endswith(("ForCausalLM", "LMHeadModel")) for head in checkpoint.architectures):
        remote = " and asks for remote code, which is never run here" if "auto_map" in checkpoint.config else ""
        return (
            f"{name} is a causal language model ({kind or 'no model_type'}), which writes from left to right{remote}: it can "
            "judge texts (diffusionlm evaluate), but not fill spans. If its weights were trained as a masked diffusion model, "
            "load it with family='masked', shift=0 or 1, attention='full' or 'blocks:n' and mask_token=..."
            + ("" if kind in PLAIN else " through DiffusionLMPipeline.from_model(model, tokenizer, ...)")
            + "."
        )
    known = sorted({model_type for own in FAMILIES.values() for model_type in own.model_types})
    remote = " It asks for remote code, which is never run here." if "auto_map" in checkpoint.config else ""
    return (
        f"{name} says model_type {kind!r}, which no family here loads.{remote} Known are {', '.join(known)}, and every masked "
        "language model of transformers; a model that you loaded yourself is taken by DiffusionLMPipeline.from_model(model, "
        "tokenizer, family='masked', ...)."
    )
