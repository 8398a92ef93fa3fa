"""`Adapters`: small sets of weights (LoRA, DoRA) beside a network that stays as it is; loaded, switched, merged, saved.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``, as PEFT writes them, and ``adapter.json``: the
checksum of the base, that of the weights, and the card. Sources: Hu et al. 2022 ("LoRA"), Liu et al. 2024 ("DoRA").
"""

from __future__ import annotations

import json
import threading
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from diffusionlm.checkpoints.base_weights import base_checksum, drop_checksum, held_in_4_bits
from diffusionlm.checkpoints.loading import sha256, write_folder
from diffusionlm.errors import reason_of, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from diffusionlm.denoiser import DiffusionModel

CARD, CONFIG, WEIGHTS = "adapter.json", "adapter_config.json", "adapter_model.safetensors"
BASE = "base"  # the name of no adapter
_FORMAT = 1


def check_peft() -> None:
    """Raises ModuleNotFoundError unless PEFT is installed."""
    if find_spec("peft") is None:
        raise ModuleNotFoundError(
            "Adapters need the package 'peft': pip install 'diffusionlm-toolkit[adapters]'.", name="peft"
        )


def save_adapter(
    denoiser: nn.Module,
    folder: Path,
    name: str,
    base: str,
    card: dict[str, Any],
    beside: Callable[[Path], None] | None = None,
) -> None:
    """Writes the adapter ``name`` of the network; nothing half-written is ever left.

    Args:
        denoiser: the network that carries it.
        folder: new, or an older adapter's.
        name: of the adapter there.
        base: checksum of the base.
        card: facts about it, ready for JSON.
        beside: writes further files into the draft of the folder.
    """
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(denoiser, adapter_name=name, save_embedding_layers=False)

    def write(draft: Path) -> None:
        if beside is not None:
            beside(draft)
        _configs(denoiser)[name].save_pretrained(str(draft))
        save_file({k: v.detach().float().cpu().contiguous() for k, v in state.items()}, draft / WEIGHTS)
        (draft / WEIGHTS).chmod((draft / CONFIG).stat().st_mode)
        told = {"format": _FORMAT, "base_sha256": base, "sha256": sha256(draft / WEIGHTS), "card": card}
        (draft / CARD).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    write_folder(folder, write)


def read_adapter(folder: Path) -> tuple[Any, dict[str, Tensor], dict[str, Any]]:
    """PEFT's configuration, the weights, and what ``adapter.json`` says.

    Raises:
        FileNotFoundError: naming the file that is missing.
        ValueError: if a file is damaged, changed, or holds numbers that are not finite.
    """
    for name in (CARD, CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"The folder {folder} has no {name}, so it is no adapter of this library; 'diffusionlm train adapter=lora "
                "init=...' writes one."
            )
    file = folder / CONFIG
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        kind = settings.get("peft_type")
        file = folder / CARD
        told = json.loads(file.read_text(encoding="utf-8"))
        base, checksum, version = told["base_sha256"], told["sha256"], told["format"]
        file = folder / WEIGHTS
        state = load_file(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ValueError(f"The adapter's {file} is damaged ({reason_of(error)}); copy or train it again.") from error
    if not isinstance(base, str) or version != _FORMAT:
        raise ValueError(f"The adapter in {folder} has format {version}, this library reads {_FORMAT}; upgrade it.")
    if sha256(folder / WEIGHTS) != checksum:
        raise ValueError(f"The weights in {folder} are not those that were saved (SHA-256 differs); copy them again.")
    bad = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise ValueError(f"The adapter in {folder} holds NaN or infinite numbers in {', '.join(bad[:3])}.")
    if kind != "LORA":
        raise ValueError(f"The adapter in {folder} is of kind {kind!r}; LoRA and DoRA are read.")
    from peft import LoraConfig

    return LoraConfig.from_pretrained(str(folder)), state, told


def inject(denoiser: nn.Module, config: Any, name: str) -> None:
    """Puts a new adapter into the network, in place, whose other weights learn no more."""
    from peft import inject_adapter_in_model

    inject_adapter_in_model(config, denoiser, adapter_name=name)


def activate(denoiser: nn.Module, name: str | None, learns: bool = False) -> None:
    """Lets one adapter of the network act, or none: then its layers compute what they did before they had any."""
    for layer in _layers(denoiser).values():
        layer.enable_adapters(name is not None)
        if name is not None:
            layer.set_adapter(name, inference_mode=not learns)


class Adapters:
    """The adapters of one network.

    Args:
        denoiser: changed in place: linear layers that an adapter changes are wrapped.

    Attributes:
        active: name of the adapter that acts, or None.
        cards: facts about each adapter that is loaded, by name.
    """

    def __init__(self, denoiser: nn.Module) -> None:
        check_peft()
        self.denoiser: Any = denoiser
        self.base = base_checksum(denoiser)
        self.active: str | None = None
        self.cards: dict[str, dict[str, Any]] = {}
        self._lock = threading.RLock()

    def load(self, folder: str | Path, name: str) -> None:
        """Reads an adapter; it does not act yet.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if the name is taken or no name, a file is damaged, or the adapter is of another base.
        """
        if not isinstance(name, str) or not name or name == BASE or "." in name:
            raise ValueError(f"An adapter's name is a text without full stop, and not {BASE!r}; got {name!r}.")
        if name in self.cards:
            raise ValueError(f"There is an adapter {name!r} already; take another name, or unload_adapter({name!r}).")
        config, state, told = read_adapter(Path(folder))
        if told["base_sha256"] != self.base:
            raise ValueError(
                f"The adapter in {folder} was trained on another base (SHA-256 {told['base_sha256'][:12]}..., this one has "
                f"{self.base[:12]}...): load it on that checkpoint, in the precision in which that is saved."
            )
        from peft import set_peft_model_state_dict

        config.inference_mode = True
        with self._lock, torch.random.fork_rng(devices=[]):
            inject(self.denoiser, config, _inner(name))
            found: Any = set_peft_model_state_dict(self.denoiser, state, adapter_name=_inner(name))
            weight = next(p for key, p in self.denoiser.named_parameters() if "lora_" not in key)
            for key, parameter in self.denoiser.named_parameters():
                if f".{_inner(name)}." in key:
                    parameter.data = parameter.data.to(weight.device, weight.dtype)
                parameter.requires_grad_(False)
            if found.unexpected_keys:
                self._remove(name)
                self._turn_to(self.active)
                raise ValueError(f"The adapter in {folder} does not fit this network: {found.unexpected_keys[:3]}.")
            self.cards[name] = {**told["card"], "sha256": told["sha256"]}
            self._turn_to(self.active)

    def check(self, name: str | None) -> None:
        """Raises ValueError unless the adapter is loaded; None is the base."""
        if name is not None and name not in self.cards:
            raise ValueError(f"No adapter {name!r} is loaded; {suggestion(str(name), self.cards)}")

    def set(self, name: str | None) -> None:
        """Lets this one act until another is set; None: none."""
        self.check(name)
        with self._lock:
            self._turn_to(name)
            self.active = name

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """This adapter acts inside the block; other threads wait."""
        with self._lock:
            if name != self.active:
                self._turn_to(name)
            try:
                yield
            finally:
                if name != self.active:
                    self._turn_to(self.active)

    def unload(self, name: str) -> None:
        """Forgets an adapter; the network is as it was before it was loaded.

        Raises:
            ValueError: if there is none of that name.
        """
        self.check(name)
        with self._lock:
            self._remove(name)
            del self.cards[name]
            self.active = None if self.active == name else self.active
            self._turn_to(self.active)

    def merge(self) -> dict[str, Any]:
        """Adds the active adapter into the weights for good and forgets all adapters, whose base is no more.

        Returns:
            Its card.

        Raises:
            ValueError: if none is active, or the base is held in 4 bits.
        """
        if self.active is None:
            raise ValueError("No adapter is active, so there is nothing to merge; call set_adapter(name) first.")
        if held_in_4_bits(self.denoiser):
            raise ValueError(
                "A base in 4 bits takes no adapter in: load the checkpoint in full precision and merge there."
            )
        with self._lock:
            card = self.cards[self.active]
            for path, layer in _layers(self.denoiser).items():
                if _inner(self.active) in layer.lora_A:
                    layer.merge(safe_merge=True, adapter_names=[_inner(self.active)])
                self._unwrap(path, layer)
            self.cards, self.active = {}, None
            self._forget()
            drop_checksum(self.denoiser)
            self.base = base_checksum(self.denoiser)
        return card

    def _turn_to(self, name: str | None) -> None:
        activate(self.denoiser, None if name is None else _inner(name))

    def _remove(self, name: str) -> None:
        for path, layer in _layers(self.denoiser).items():
            with warnings.catch_warnings(
                action="ignore"
            ):  # that PEFT turns to another one: which acts is said afterwards
                layer.delete_adapter(_inner(name))
            if not len(layer.lora_A):
                self._unwrap(path, layer)
        self.denoiser.peft_config.pop(_inner(name))
        if not self.denoiser.peft_config:
            self._forget()

    def _unwrap(self, path: str, layer: Any) -> None:
        self.denoiser.set_submodule(path, layer.get_base_layer())

    def _forget(self) -> None:
        del self.denoiser.peft_config


class AdaptedModel:
    """A `DiffusionModel` that computes with one of its network's adapters, or with none.

    Args:
        model: the model.
        adapters: of its network.
        name: of the adapter; None: the base.
    """

    def __init__(self, model: DiffusionModel, adapters: Adapters, name: str | None) -> None:
        self._model, self._adapters, self.adapter = model, adapters, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._model, attribute)

    def condition(self, *given: Any, **named: Any) -> Any:
        """See `DiffusionModel`."""
        with self._adapters.using(self.adapter):
            return self._model.condition(*given, **named)

    def log_posterior(self, *given: Any, **named: Any) -> Tensor:
        """See `DiffusionModel`."""
        with self._adapters.using(self.adapter):
            return self._model.log_posterior(*given, **named)


def _inner(name: str) -> str:
    """The adapter's name in the network, where no module is called like it."""
    return f"adapter-{name}"


def _configs(denoiser: Any) -> dict[str, Any]:
    """PEFT's settings of each adapter in the network."""
    return denoiser.peft_config


def _layers(denoiser: nn.Module) -> dict[str, Any]:
    """The wrapped layers by path."""
    if not hasattr(denoiser, "peft_config"):
        return {}
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {name: module for name, module in denoiser.named_modules() if isinstance(module, BaseTunerLayer)}
