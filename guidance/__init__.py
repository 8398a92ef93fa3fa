"""Guidance: plugins that steer every denoising step, and what makes them safe to combine.

A plugin is an energy (`Guidance`); a constraint (`Constraint`) is a rule that always holds. See docs/write-a-plugin.md.
"""

if __name__ != "diffusionlm.guidance":
    raise ImportError(
        "This folder is the package 'diffusionlm.guidance' and has no life of its own: "
        "write 'import diffusionlm.guidance' instead of 'import guidance'. "
        "(The bare name may belong to another distribution.)"
    )

from importlib import import_module as _import_module
from typing import Any

# Where each public name lives; the module is imported when the name is first asked for (PEP 562).
_HOME_OF = {
    "AutomatonTooLarge": "automata",
    "Classifier": "classifier",
    "ClassifierFree": "classifier_free",
    "Composition": "composition",
    "Constituents": "syntax_constituents",
    "Constraint": "constraint",
    "Dependencies": "syntax_dependencies",
    "Exact": "strategies",
    "FunctionGuidance": "function_plugin",
    "Guidance": "contract",
    "GuidanceError": "errors",
    "GuidanceState": "state",
    "Latent": "strategies",
    "Length": "length",
    "PII": "pii",
    "PartOfSpeech": "syntax",
    "Particles": "strategies",
    "PersonalNames": "pii_names",
    "Phrases": "phrases",
    "Regex": "regex",
    "TextScorer": "text_scorer",
    "Tilt": "strategies",
    "Toxicity": "toxicity",
    "Trace": "trace",
    "UnknownPlugin": "errors",
    "UnsatisfiableConstraint": "automata",
    "VocabularyBridge": "bridge",
    "available": "registry",
    "compose": "composition",
    "from_config": "configuration",
    "get": "registry",
    "register": "registry",
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'diffusionlm.guidance' has no attribute {name!r}", name=name)
    value = getattr(_import_module(f"diffusionlm.guidance.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
