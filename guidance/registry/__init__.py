"""Plugins by name: registration, discovery, configuration, scaffolds."""

from diffusionlm.guidance.registry.lazy_exports import lazy_exports

_HOME_OF = dict.fromkeys(("Entry", "available", "get", "problems", "register", "registered", "unregister"), "plugins")

__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = lazy_exports(__name__, _HOME_OF)
