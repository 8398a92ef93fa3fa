"""MDLM and LangFlow: diffusion transformers whose weights load into ours.

Sahoo et al. 2024, "Simple and effective masked diffusion language models" (``kuleshov-group/mdlm-*``); LangFlow
(``Continuous-Rivals-Discrete/langflow-*``), see `diffusionlm.families.langflow`.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from diffusionlm.families.building import LONGEST_SPAN, LONGEST_TEXT, build, find_tokenizer, token_id
from diffusionlm.families.dit import DiffusionTransformer, DiTConfig, TokenDiT
from diffusionlm.families.family import FAMILIES, Checkpoint, Choices, Family, Loaded
from diffusionlm.families.langflow import LangFlowDenoiser, LangFlowModel
from diffusionlm.families.sheet import Frame
from diffusionlm.families.switches import Switches
from diffusionlm.families.weights import fill, read_weights
from diffusionlm.text.foreign import ForeignTokenizer

MDLM = "Sahoo et al. 2024, Simple and effective masked diffusion language models"
TOKENIZERS = {50257: "gpt2", 50258: "gpt2", 30522: "bert-base-uncased", 30523: "bert-base-uncased"}
_NOT_LEARNT = ("rotary_emb.inv_freq",)


def sizes(config: dict[str, Any], **more: Any) -> DiTConfig:
    """Sizes as the published config.json name them.

    Raises:
        ValueError: if one is missing.
    """
    names = {"vocab_size": "vocab_size", "hidden_size": "hidden_size", "cond_dim": "cond_dim", "n_blocks": "n_blocks"}
    names["n_heads"] = "n_heads"
    missing = [given for given in names.values() if given not in config]
    if missing:
        raise ValueError(
            f"config.json lacks {', '.join(missing)}, so the sizes of the diffusion transformer are not known."
        )
    sizes: dict[str, Any] = {own: int(config[given]) for own, given in names.items()}
    return DiTConfig(**sizes, **more)


def _backbone(name: str) -> str | None:
    own = name.removeprefix("backbone.")
    return None if own in _NOT_LEARNT or own.startswith("proposal.") or own.startswith("noise.") else own


def _network(
    config: DiTConfig, checkpoint: Checkpoint, choices: Choices
) -> tuple[DiffusionTransformer, dict[str, Any]]:
    weights = read_weights(checkpoint.folder)
    with torch.device("meta"):
        network = DiffusionTransformer(config)
    fill(network, weights, _backbone, checkpoint.folder, choices.dtype)
    return network.eval(), weights


@FAMILIES.register("mdlm")
class Mdlm(Family):
    """MDLM of Sahoo et al. 2024."""

    summary = "kuleshov-group/mdlm-no_flashattn-fp32-owt, mdlm-owt, mdlm-noeos-owt"
    model_types = ("mdlm",)

    @classmethod
    def recognises(cls, checkpoint: Checkpoint, choices: Choices) -> bool:
        """See `Family`."""
        return checkpoint.model_type == "mdlm"

    @classmethod
    def load(cls, checkpoint: Checkpoint, choices: Choices) -> Loaded:
        """A diffusion transformer over tokens; the last row of its vocabulary is the mask."""
        config = sizes(checkpoint.config)
        network, _ = _network(config, checkpoint, choices)
        source = find_tokenizer(checkpoint, choices, TOKENIZERS.get(config.vocab_size, ""))
        time = "sigma" if checkpoint.config.get("time_conditioning") else "none"
        end = source.eos_token_id if source.eos_token_id is not None else source.sep_token_id
        return build(
            TokenDiT(network),
            source,
            choices,
            vocab_size=config.vocab_size,
            max_length=int(checkpoint.config.get("model_length", 1024)),
            switches=Switches(time=time),
            mask_id=config.vocab_size - 1,
            ends=() if end is None else (int(end),),
            framed=False,
            references=(MDLM,),
            card={"summary": "MDLM, a masked diffusion model of Sahoo et al. 2024"},
        )


@FAMILIES.register("langflow")
class LangFlow(Family):
    """LangFlow of Chen et al. 2026."""

    summary = "Continuous-Rivals-Discrete/langflow-owt, langflow-lm1b: every strategy applies"
    model_types = ("LangFlow",)

    @classmethod
    def recognises(cls, checkpoint: Checkpoint, choices: Choices) -> bool:
        """See `Family`."""
        return checkpoint.model_type.lower() == "langflow"

    @classmethod
    def load(cls, checkpoint: Checkpoint, choices: Choices) -> Loaded:
        """A diffusion transformer over noisy embeddings, with the schedule that it learnt."""
        said = checkpoint.config
        given = {
            "corruption": choices.corruption,
            "shift": choices.shift,
            "attention": choices.attention,
            "time": choices.time,
        }
        fixed = {"corruption": "gaussian", "shift": 0, "attention": "full", "time": "gamma"}
        for name, value in given.items():
            if value not in (None, fixed[name]):
                raise ValueError(f"{name} of LangFlow is {fixed[name]!r} and cannot be changed to {value!r}.")
        unit, bias = said.get("use_normalized_embedding", True), said.get("use_bias", True)
        config = sizes(said, self_conditioning=bool(said.get("self_conditioning", True)), unit_embeddings=bool(unit))
        if not unit:
            raise ValueError(
                "This LangFlow has embeddings of any length; only normalised ones (all published) are supported."
            )
        network, weights = _network(config, checkpoint, choices)
        source = find_tokenizer(checkpoint, choices, TOKENIZERS.get(config.vocab_size, ""))
        end = token_id(source, choices.end_token, "end_token")
        if end is None:
            end = source.eos_token_id if source.eos_token_id is not None else source.sep_token_id
        tokenizer = ForeignTokenizer(source, config.vocab_size, end, chat=False)
        denoiser = LangFlowDenoiser(network, int(said.get("model_length", 1024)), tokenizer.pad_id, bool(bias)).eval()
        model = LangFlowModel(denoiser, Frame(filler=tokenizer.pad_id), sorted(tokenizer.special_ids))
        loc, scale = (
            float(weights.get(f"proposal.{n}", said.get(f"gumbel_{n}", d)))
            for n, d in (("loc", 4.723), ("scale", 0.852))
        )
        cutoff = float(said.get("gumbel_cutoff", 1e-5))
        schedule = {
            "kind": "information",
            "mu": loc,
            "beta": scale,
            "gamma_min": loc - math.log(-math.log(cutoff)) * scale,
            "gamma_max": loc - math.log(cutoff) * scale,
        }
        defaults = {
            "schedule": schedule,
            "sampler": "euler",
            "max_length": min(LONGEST_TEXT, model.max_length),
            "max_span_length": min(LONGEST_SPAN, model.max_length),
            "card": {"summary": "LangFlow, a continuous diffusion model over embeddings"},
        }
        return Loaded(model, tokenizer, defaults)
