"""Toxicity: the plugin `Toxicity`, the judges that it asks (a reader, or one of Detoxify's classifiers), and word lists."""

from diffusionlm.guidance.registry.lazy_exports import lazy_exports

_HOME_OF = {
    "Toxicity": "plugin",
    "WordList": "word_list",
}

__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = lazy_exports(__name__, _HOME_OF)
