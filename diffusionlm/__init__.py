"""diffusionlm: a diffusion model over token embeddings that writes spans of text, steered by guidance plugins.

The public names are imported on first use, so that ``import diffusionlm`` costs milliseconds and loads no PyTorch::

    from diffusionlm import DiffusionLMPipeline

    pipe = DiffusionLMPipeline.from_pretrained("restaurant")
    print(pipe("The [SPAN:2] is a pub [SPAN:5] near [SPAN].", num_samples=4, steps=32, seed=0).texts)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusionlm.denoiser import ContextMemory, DenoiserConfig, SpanDenoiser
    from diffusionlm.guidance import Guidance, register
    from diffusionlm.pipeline import DiffusionLMPipeline, GenerationResult
    from diffusionlm.spans import Canvas
    from diffusionlm.text import TextTokenizer, Vocabulary

__version__ = "0.1.0"

__all__ = [
    "Canvas",
    "ContextMemory",
    "DenoiserConfig",
    "DiffusionLMPipeline",
    "GenerationResult",
    "Guidance",
    "SpanDenoiser",
    "TextTokenizer",
    "Vocabulary",
    "__version__",
    "register",
]

# Where each public name lives; the module is imported when the name is first asked for (PEP 562).
_HOME = {
    "Canvas": "diffusionlm.spans",
    "ContextMemory": "diffusionlm.denoiser",
    "DenoiserConfig": "diffusionlm.denoiser",
    "DiffusionLMPipeline": "diffusionlm.pipeline",
    "GenerationResult": "diffusionlm.pipeline",
    "Guidance": "diffusionlm.guidance",
    "SpanDenoiser": "diffusionlm.denoiser",
    "TextTokenizer": "diffusionlm.text",
    "Vocabulary": "diffusionlm.text",
    "register": "diffusionlm.guidance",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is not None:
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value

    message = f"module 'diffusionlm' has no attribute {name!r}"
    if not name.startswith("_"):
        from diffusionlm.errors import nearest

        near = nearest(name, _HOME)
        hint = f"did you mean {near!r}?" if near else f"its public names are {', '.join(sorted(_HOME))}."
        message = f"{message}; {hint}"
    raise AttributeError(message, name=name)


def __dir__() -> list[str]:
    return sorted(__all__)
