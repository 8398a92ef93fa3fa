"""Causal language models that an adapter turned into masked denoisers: base and adapter as one, for `from_pretrained`.

A folder holds what `checkpoints.adapters` writes (the LoRA, the checksum of its base), the tokenizer, and a config.json that
names the base and the switches that the adapter was trained with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.checkpoints.adapters import CARD, Adapters, read_adapter, save_adapter
from diffusionlm.checkpoints.base_weights import base_checksum
from diffusionlm.checkpoints.causal import load_causal
from diffusionlm.families import Checkpoint, Choices, Loaded
from diffusionlm.families.decoders import from_decoder

if TYPE_CHECKING:
    import torch

ADAPTED = "diffusionlm-adapted"
_NAME = "adapted"


def is_adapted(checkpoint: Checkpoint) -> bool:
    """True for the folder of an adapter of a causal language model, which holds no weights of its own."""
    return checkpoint.model_type == ADAPTED


def save_adapted(module: Any, source: Any, folder: Path, name: str, said: dict[str, Any], card: dict[str, Any]) -> None:
    """Writes the adapter of a network, its tokenizer and what it is an adapter of.

    Args:
        module: the causal language model that carries the adapter.
        source: its tokenizer.
        folder: new, or an older adapter's.
        name: of the adapter in the network.
        said: "base" (as `load_causal` takes it), "shift", "attention", "mask_token" (an id).
        card: facts about it, ready for JSON.
    """

    def beside(draft: Path) -> None:
        source.save_pretrained(draft)
        config = {"model_type": ADAPTED, **said}
        (draft / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    save_adapter(module, folder, name, base_checksum(module), card, beside)


def load_adapted(checkpoint: Checkpoint, choices: Choices) -> Loaded:
    """Base and adapter as one masked diffusion model; the adapter is added into the weights.

    Args:
        checkpoint: the adapter's folder.
        choices: ``base`` says where the base lies now.

    Raises:
        FileNotFoundError: if the base or a file of the adapter is missing.
        ValueError: if the adapter is of another base, or damaged.
    """
    said, folder = checkpoint.config, checkpoint.folder
    missing = [key for key in ("base", "shift", "attention", "mask_token") if key not in said]
    if missing:
        raise ValueError(f"{folder / 'config.json'} lacks {', '.join(missing)}; copy or train the adapter again.")
    read_adapter(folder)  # before the base, which is large
    base = str(choices.base or said["base"])
    try:
        module, source = load_causal(base)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"The adapter in {folder} needs its base {base!r}, which is not here; say where it lies with base=FOLDER."
        ) from error
    adapters = Adapters(module)
    adapters.load(folder, _NAME)
    adapters.set(_NAME)
    card = adapters.merge()
    own = Choices(
        family="masked",
        shift=said["shift"],
        attention=said["attention"],
        mask_token=said["mask_token"],
        end_token=choices.end_token,
        chat=bool(said.get("chat")) if choices.chat is None else choices.chat,
    )
    loaded = from_decoder(_of_dtype(module, choices.dtype).eval(), choices.tokenizer or source, own)
    loaded.defaults["card"] = {**loaded.defaults["card"], **card, "base": base}
    return loaded


def describe_adapted(checkpoint: Checkpoint) -> dict[str, Any]:
    """Facts of an adapter's folder, without its base."""
    told = json.loads((checkpoint.folder / CARD).read_text(encoding="utf-8"))
    return {"folder": str(checkpoint.folder), "adapter_of": checkpoint.config.get("base"), **told}


def _of_dtype(module: Any, dtype: torch.dtype | None) -> Any:
    return module if dtype is None else module.to(dtype)
