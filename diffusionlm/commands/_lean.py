"""A quicker start of commands: optional packages that transformers and diffusers would import are hidden for that moment.

Both import what is installed for quantised weights, adapters and images, a third of the processor time of a short
``diffusionlm generate``. They work without, as if these were not installed, and remember that; so this is for the process of a
command alone, never for a library's import, and only where nothing of it is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module

UNNEEDED = ("bitsandbytes", "gguf", "onnxruntime", "optimum", "peft", "scipy", "torchao", "torchvision")


@contextmanager
def lean_imports(unneeded: Sequence[str] = UNNEEDED) -> Iterator[None]:
    """Hides packages from what is imported within the block; afterwards they can be imported as ever.

    Args:
        unneeded: top-level names; those that are imported already stay.
    """
    hidden = [name for name in unneeded if name not in sys.modules]
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]  # None: not to be found
    try:
        yield
    finally:
        for name in hidden:
            if name in sys.modules and sys.modules[name] is None:
                del sys.modules[name]


def import_pipeline() -> None:
    """Imports `diffusionlm.pipeline` within `lean_imports`; a library that does not go along is left to be imported whole."""
    with suppress(ImportError, RuntimeError), lean_imports():
        import_module("diffusionlm.pipeline")
