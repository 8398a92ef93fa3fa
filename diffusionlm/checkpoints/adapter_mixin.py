"""`AdapterMixin`: the methods of a pipeline that load, set, merge and forget adapters, as diffusers' mixins do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.checkpoints.adapters import BASE, AdaptedModel, Adapters

if TYPE_CHECKING:
    from diffusionlm.denoiser import DiffusionModel, SpanDenoiser


class AdapterMixin:
    """Adapters of a pipeline that has a ``denoiser``, a ``model`` and a ``card``."""

    denoiser: SpanDenoiser
    card: dict[str, Any]
    _model: DiffusionModel | None
    _adapters: Adapters | None = None

    if TYPE_CHECKING:

        @property
        def model(self) -> DiffusionModel:
            """The network behind its contract."""
            ...

    @property
    def adapters(self) -> dict[str, dict[str, Any]]:
        """The card of each adapter that is loaded, by name."""
        return {} if self._adapters is None else dict(self._adapters.cards)

    def load_adapter(self, folder: str | Path, name: str) -> None:
        """Reads an adapter that ``diffusionlm train adapter=lora init=...`` wrote; it acts once it is set, or in calls
        with ``adapter=name``.

        Raises:
            FileNotFoundError: if there is none in the folder.
            ValueError: if it is damaged or of another base, or the name is taken.
            TypeError: if the network is not a `SpanDenoiser`.
            ModuleNotFoundError: if PEFT is missing.
        """
        if self._model is not None:
            raise TypeError(f"Adapters are read for a SpanDenoiser, not for {type(self._model).__name__}.")
        adapters = self._adapters or Adapters(self.denoiser)
        adapters.load(folder, name)
        self._adapters = adapters

    def set_adapter(self, name: str | None) -> None:
        """Lets an adapter act in every call that names none; None: the base as it is, bit for bit.

        Raises:
            ValueError: if no adapter of that name is loaded.
        """
        if self._adapters is not None:
            self._adapters.set(name)
        elif name is not None:
            raise ValueError(f"No adapter is loaded, so {name!r} cannot be set; call load_adapter(folder, {name!r}).")

    def unload_adapter(self, name: str) -> None:
        """Forgets an adapter. Raises ValueError if there is none of that name."""
        if self._adapters is None:
            raise ValueError(f"No adapter is loaded, so {name!r} cannot be unloaded.")
        self._adapters.unload(name)

    def merge_adapter(self) -> None:
        """Adds the adapter that is set into the weights for good; all adapters are unloaded, as their base is no more.

        Raises:
            ValueError: if none is set.
        """
        if self._adapters is None:
            raise ValueError("No adapter is loaded, so there is nothing to merge; see load_adapter and set_adapter.")
        self.card = {**self.card, "merged_adapters": [*self.card.get("merged_adapters", []), self._adapters.merge()]}

    def _model_with(self, adapter: str | None) -> DiffusionModel:
        """The model for a call: with the adapter that it names, or the one that is set."""
        if self._adapters is None:
            if adapter not in (None, BASE):
                raise ValueError(f"No adapter {adapter!r} is loaded; call load_adapter(folder, {adapter!r}).")
            return self.model
        name = self._adapters.active if adapter is None else None if adapter == BASE else adapter
        self._adapters.check(name)
        return AdaptedModel(self.model, self._adapters, name)
