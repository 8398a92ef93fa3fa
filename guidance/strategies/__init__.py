"""Strategies: the ways in which an energy acts on a model, one a file."""

from diffusionlm.guidance.registry.lazy_exports import lazy_exports

_HOME_OF = {
    "STRATEGIES": "strategy",
    "Exact": "exact",
    "Latent": "latent",
    "Particles": "particles",
    "Strategy": "strategy",
    "Tilt": "tilt",
    "make_strategy": "strategy",
}

__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = lazy_exports(__name__, _HOME_OF)
