"""Sources of memory: what the spans of a text may look at, one file a kind.

::

    from diffusionlm.context import Concept, Image, Retrieved, Sound, Store

    pipe(text, prompt="...", context=[Retrieved(store, k=4), Concept("house-style"), Image("menu.png")])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusionlm.context.concept import Concept
    from diffusionlm.context.each import Each
    from diffusionlm.context.image import Image
    from diffusionlm.context.retrieved import Retrieved
    from diffusionlm.context.sound import Sound
    from diffusionlm.context.source import SOURCES, Rows, Source
    from diffusionlm.context.store import Passage, Store

_HOME = {
    "SOURCES": "source",
    "Concept": "concept",
    "Each": "each",
    "Image": "image",
    "Passage": "store",
    "Retrieved": "retrieved",
    "Rows": "source",
    "Sound": "sound",
    "Source": "source",
    "Store": "store",
}

__all__ = ["SOURCES", "Concept", "Each", "Image", "Passage", "Retrieved", "Rows", "Sound", "Source", "Store"]


def __getattr__(name: str) -> Any:  # a store needs faiss, and a call without one does not
    if name not in _HOME:
        raise AttributeError(f"module 'diffusionlm.context' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f"diffusionlm.context.{_HOME[name]}"), name)
