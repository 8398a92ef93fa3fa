"""The old name of `diffusionlm.corpora.sources`; works for one more version, with a warning."""

import warnings
from importlib import import_module
from typing import Any

_NEW = "diffusionlm.corpora.sources"


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    warnings.warn("diffusionlm.text.corpora is now diffusionlm.corpora.sources.", DeprecationWarning, stacklevel=2)
    return getattr(import_module(_NEW), name)
