"""Masked language models of transformers: BERT, RoBERTa, ModernBERT and all that ``AutoModelForMaskedLM`` loads.

Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language understanding". Where such a model was
trained on all shares of hidden tokens (ModernBERT-chat, or a fine-tuned one), it is a masked diffusion model (Sahoo et al.
2024, "Simple and effective masked diffusion language models", section 3.2.2).
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from diffusionlm.families.building import build, find_tokenizer
from diffusionlm.families.family import FAMILIES, Checkpoint, Choices, Family, Loaded
from diffusionlm.families.networks import Encoder
from diffusionlm.families.weights import check_weights

REFERENCE = "Sahoo et al. 2024, Simple and effective masked diffusion language models"
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text", "longformer", "mpnet")
FEW_POSITIONS = 512
DEFAULTS = ("sampler", "max_length", "max_span_length", "temperature", "best_of", "steps", "bigrams", "card")
OWN = "diffusionlm"  # entry of config.json: defaults of the pipeline and the card, left by `training.masked_lm`


@FAMILIES.register("masked-lm")
class MaskedLM(Family):
    """Every ``AutoModelForMaskedLM``."""

    summary = "BERT, RoBERTa, ModernBERT, ModernBERT-chat and every other AutoModelForMaskedLM of transformers"

    @classmethod
    def recognises(cls, checkpoint: Checkpoint, choices: Choices) -> bool:
        """See `Family`: transformers has a masked language model of this kind, and the folder holds one."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

        if checkpoint.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
            return False
        heads = checkpoint.architectures
        return not heads or any(name.endswith(("ForMaskedLM", "LMHeadModel", "ForPreTraining")) for name in heads)

    @classmethod
    def load(cls, checkpoint: Checkpoint, choices: Choices) -> Loaded:
        """Loads weights into transformers' own class.

        Warns:
            UserWarning: for a model without chat template and without ``family="masked"``: it was hardly trained to write from
                nothing.
        """
        from transformers import AutoModelForMaskedLM

        source = find_tokenizer(checkpoint, choices)
        check_weights(checkpoint.folder)
        own = checkpoint.config.get(OWN)
        dtype = choices.dtype or (torch.float32 if own is not None else None)  # saved in half the bytes
        module = AutoModelForMaskedLM.from_pretrained(
            checkpoint.folder, trust_remote_code=False, use_safetensors=True, dtype=dtype
        ).eval()
        if own is None and choices.family is None and not getattr(source, "chat_template", None):
            warnings.warn(
                f"{checkpoint.folder.name} is a masked language model ({checkpoint.model_type}), trained to restore a few "
                "hidden words and not to write from nothing: filling short gaps works, long texts come out poor. Train it on "
                "all shares of hidden tokens first, or pass family='masked' if that was done.",
                stacklevel=2,
            )
        loaded = from_masked_lm(module, source, choices)
        if isinstance(own, dict):
            loaded.defaults.update({name: own[name] for name in DEFAULTS if name in own})
        return loaded


def from_masked_lm(module: Any, source: Any, choices: Choices) -> Loaded:
    """A masked language model of transformers that is loaded already."""
    return build(
        Encoder(module),
        source,
        choices,
        vocab_size=int(module.config.vocab_size),
        max_length=longest(module.config, source),
        references=(REFERENCE,),
        card={"summary": f"{type(module).__name__} of transformers, steered as a masked diffusion model"},
    )


def longest(config: Any, source: Any) -> int:
    """Positions that a model of transformers takes."""
    positions = getattr(config, "max_position_embeddings", None) or FEW_POSITIONS
    if config.model_type in OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    said = getattr(source, "model_max_length", None)
    return int(min(positions, said) if said and said < 10**6 else positions)
