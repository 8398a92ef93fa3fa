"""What a pipeline has besides its work: parts, the device they stand on, a progress bar.

The names are those of ``diffusers.DiffusionPipeline``. That class itself is not the base, because it imports every model of
images and sound (several seconds of processor time at each start).
"""

from __future__ import annotations

from typing import Any

import torch


class PipelineBase:
    """Parts by name, moved together.

    Attributes:
        components: the parts.
    """

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self._progress_bar_config: dict[str, Any] = {}

    def register_modules(self, **parts: Any) -> None:
        """Makes parts attributes of the pipeline."""
        for name, part in parts.items():
            self.components[name] = part
            setattr(self, name, part)

    @property
    def device(self) -> torch.device:
        """Where the networks stand."""
        return next((p.device for net in self._networks() for p in net.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the networks."""
        return next((p.dtype for net in self._networks() for p in net.parameters()), torch.float32)

    def to(self, *where: Any, **named: Any) -> Any:
        """Moves the networks, as ``torch.nn.Module.to`` does; returns the pipeline.

        Args:
            where: a device, a dtype, or both.
            named: the same by keyword.
        """
        for network in self._networks():
            torch.nn.Module.to(network, *where, **named)
        return self

    def progress_bar(self, iterable: Any = None, total: int | None = None) -> Any:
        """A bar over an iterable or a number of steps."""
        from tqdm.auto import tqdm

        return tqdm(iterable, total=total, **self._progress_bar_config)

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Settings of `tqdm`, such as ``disable=True``."""
        self._progress_bar_config = settings

    def _networks(self) -> list[torch.nn.Module]:
        return [part for name in self.components if isinstance(part := getattr(self, name), torch.nn.Module)]
