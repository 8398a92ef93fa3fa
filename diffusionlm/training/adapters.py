"""Training an adapter: LoRA or DoRA in the linear layers of a frozen checkpoint, which may be held in 4 bits (QLoRA).

Sources: Hu et al. 2022 ("LoRA"), Liu et al. 2024 ("DoRA"), Dettmers et al. 2023 ("QLoRA").
"""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from diffusionlm.checkpoints.adapters import activate, check_peft, inject, save_adapter
from diffusionlm.checkpoints.base_weights import base_checksum, note_checksum
from diffusionlm.training.settings import check_keys

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser

KINDS = ("none", "lora", "dora")
PRECISIONS = ("full", "4bit")
NAME = "trained"  # of the adapter in the network while it trains
_SETTINGS = ("kind", "rank", "alpha", "dropout", "targets", "base")


def check_adapter(config: dict[str, Any]) -> bool:
    """True if ``adapter`` asks for one; its values are checked, packages too.

    Raises:
        ValueError: naming the setting.
        ModuleNotFoundError: if a package is missing.
    """
    settings = config.get("adapter") or {"kind": "none"}
    check_keys("adapter", settings, _SETTINGS)
    if settings.get("kind") not in KINDS:
        raise ValueError(f"adapter.kind must be one of {', '.join(KINDS)}, got {settings.get('kind')!r}.")
    if settings["kind"] == "none":
        return False
    rank, alpha, dropout = settings["rank"], settings["alpha"], settings["dropout"]
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"adapter.rank must be an integer of at least 1, got {rank!r}.")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < float("inf"):
        raise ValueError(f"adapter.alpha must be a positive number, got {alpha!r}.")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ValueError(f"adapter.dropout must lie in [0, 1), got {dropout!r}.")
    targets = settings["targets"]
    if not isinstance(targets, list) or not targets or not all(isinstance(name, str) for name in targets):
        raise ValueError(
            f"adapter.targets must be a list of names of layers such as [q_proj, v_proj], got {targets!r}."
        )
    if settings["base"] not in PRECISIONS:
        raise ValueError(f"adapter.base must be one of {', '.join(PRECISIONS)}, got {settings['base']!r}.")
    check_peft()
    if settings["base"] == "4bit" and find_spec("bitsandbytes") is None:
        raise ModuleNotFoundError(
            "adapter.base=4bit needs the package 'bitsandbytes': pip install 'diffusionlm-toolkit[qlora]', or "
            "adapter.base=full.",
            name="bitsandbytes",
        )
    return True


def check_start(config: dict[str, Any]) -> None:
    """Raises ValueError unless the run has a base, and its tokens."""
    if not config.get("init"):
        raise ValueError("An adapter changes a checkpoint: give init=NAME too, such as init=restaurant.")
    kind = config["data"]["tokenizer"].get("kind")
    if kind != "init":
        raise ValueError(f"An adapter has the tokens of its base: give data.tokenizer.kind=init, not {kind}.")


def check_same_network(base: DenoiserConfig, new: DenoiserConfig) -> None:
    """Refuses settings that would let an adapter learn under another network than it will act in.

    Raises:
        ValueError: naming the first setting that differs.
    """
    loose = (
        "self",
        "kwargs",
        "max_position_embeddings",
        "router_aux_loss_coef",
        "router_z_loss_coef",
        "initializer_range",
    )
    for name in inspect.signature(type(base).__init__).parameters:
        if name in loose:
            continue
        value, own = getattr(base, name), getattr(new, name)
        if own != value:
            raise ValueError(
                f"The base has {name} {value}, the settings say {own}: an adapter acts in the network of init=..., so "
                f"give model.{name}={value} (model=small, medium, ... has the sizes)."
            )


def add_adapter(denoiser: nn.Module, settings: dict[str, Any]) -> None:
    """Freezes the network, holds it in 4 bits if ``adapter.base`` says so, and gives it the adapter that learns.

    Raises:
        ValueError: if no linear layer has a name in ``adapter.targets``.
    """
    linear = {name: module for name, module in denoiser.named_modules() if isinstance(module, nn.Linear)}
    ends = sorted({name.rpartition(".")[2] for name in linear})
    for target in settings["targets"]:
        if target not in ends:
            raise ValueError(f"adapter.targets: no linear layer of the base is called {target!r}; there are {ends}.")
    note_checksum(denoiser)
    if settings["base"] == "4bit":
        hold_in_4_bits(cast("SpanDenoiser", denoiser))
    from peft import LoraConfig

    config = LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        use_dora=settings["kind"] == "dora",
        target_modules=list(settings["targets"]),
    )
    inject(denoiser, config, NAME)
    activate(denoiser, NAME, learns=True)


def hold_in_4_bits(denoiser: SpanDenoiser) -> None:
    """Replaces the linear layers of the blocks by bitsandbytes' NF4 ones, in place.

    Embeddings, head and norms stay as they are.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit

    device = denoiser.device
    for name, module in list(denoiser.blocks.named_modules()):
        if isinstance(module, nn.Linear):
            held: Any = Linear4bit(
                module.in_features,
                module.out_features,
                bias=module.bias is not None,
                compute_dtype=module.weight.dtype,
                quant_type="nf4",
            )
            held.weight = Params4bit(module.weight.detach().cpu(), requires_grad=False, quant_type="nf4")
            if module.bias is not None:
                held.bias = nn.Parameter(module.bias.detach().clone(), requires_grad=False)
            held.support_avx512bf16_for_cpu = False  # the kernel it turns to in eval() has no backward pass afterwards
            denoiser.blocks.set_submodule(name, held.to(device))
    network: Any = denoiser
    network.is_loaded_in_4bit = True  # PEFT asks for it


def trains_an_adapter(denoiser: nn.Module) -> bool:
    """True if `add_adapter` was called on it."""
    return NAME in getattr(denoiser, "peft_config", {})


def trained_state(denoiser: nn.Module) -> dict[str, Tensor]:
    """Weights of the network that a checkpoint must hold: all of it, or the adapter's weights where its base is given.

    Weights that two layers share, as embeddings and output of a network of transformers do, are held once.
    """
    if not _in_parts(denoiser):
        return denoiser.state_dict()
    return {name: parameter for name, parameter in denoiser.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def load_trained_state(denoiser: nn.Module, state: dict[str, Tensor]) -> None:
    """Restores `trained_state`.

    Raises:
        RuntimeError: if names or shapes differ.
    """
    if not _in_parts(denoiser):
        denoiser.load_state_dict(state)
        return
    own = trained_state(denoiser)
    differing = sorted(name for name in {**own, **state} if name not in own or name not in state)
    differing += [name for name in own if name in state and own[name].shape != state[name].shape]
    if differing:
        raise RuntimeError(f"the weights differ in {', '.join(differing[:3])}")
    for name, parameter in own.items():
        parameter.copy_(state[name])


def _in_parts(denoiser: nn.Module) -> bool:
    """True where not every entry of the state is a weight of its own that learns."""
    if trains_an_adapter(denoiser):
        return True
    every = sum(1 for _ in denoiser.named_parameters(remove_duplicate=False))
    return every != sum(1 for _ in denoiser.named_parameters())


def trained_share(denoiser: nn.Module) -> float:
    """Trainable parameters over those of the base, as numbers that were saved: 4 bits do not change it."""
    trained = sum(parameter.numel() for parameter in denoiser.parameters() if parameter.requires_grad)
    base = 0
    for name, parameter in denoiser.named_parameters():
        if f".{NAME}." not in f".{name}.":
            state = getattr(parameter, "quant_state", None)
            base += parameter.numel() if state is None else state.shape.numel()
    return trained / base


def export_adapter(denoiser: SpanDenoiser, folder: Path, card: dict[str, Any]) -> None:
    """Writes the adapter with the weights that are in place; see ``checkpoints.adapters.save_adapter``."""
    save_adapter(denoiser, folder, NAME, base_checksum(denoiser), card)
