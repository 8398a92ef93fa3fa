"""Guidance: plugins that steer every denoising step, and what makes them safe to combine.

A plugin is an energy (`Guidance`); a constraint (`Constraint`) is a rule that always holds. See docs/write-a-plugin.md.

* what a plugin is: guidance (the contract), settings, goals and state (what it has and sees), constraints/ (rules that hold).
* plugins, one file or one folder each: length, phrases, regex, bigrams/, classifier, classifier_free, text_scorer, toxicity/,
  pii/, syntax/, structured/. What they stand on: automata/ (exact rules), weighted/ (chains of weighed words), classifiers/
  (networks that judge half-noisy text), highlight.
* registry/: finding plugins and making them from what a user writes.
* engine/: what a call does with them: composition, then the session at each step, by strategies/ within the trust region.
* testing/: the conformance kit.
"""

if __name__ != "diffusionlm.guidance":
    raise ImportError(
        "This folder is the package 'diffusionlm.guidance' and has no life of its own: "
        "write 'import diffusionlm.guidance' instead of 'import guidance'. "
        "(The bare name may belong to another distribution.)"
    )

from diffusionlm.guidance.registry.lazy_exports import lazy_exports as _lazy_exports

# Where each public name lives; the module is imported when the name is first asked for (PEP 562).
_HOME_OF = {
    "AutomatonTooLarge": "automata",
    "Bigrams": "bigrams.plugin",
    "Choice": "structured.choice",
    "Classifier": "classifier",
    "ClassifierFree": "classifier_free",
    "Composition": "engine.composition",
    "Constituents": "syntax.constituents",
    "Constraint": "constraints.constraint",
    "Dependencies": "syntax.dependencies",
    "Diverse": "diverse",
    "Exact": "strategies.exact",
    "FunctionGuidance": "registry.function_plugin",
    "Grammar": "structured.grammar",
    "Guidance": "guidance",
    "GuidanceError": "diffusionlm.errors",
    "GuidanceState": "state",
    "JSONSchema": "structured.json_schema",
    "Latent": "strategies.latent",
    "Length": "length",
    "PII": "pii.plugin",
    "PartOfSpeech": "syntax.parts_of_speech",
    "Particles": "strategies.particles",
    "PersonalNames": "pii.names",
    "Phrases": "phrases",
    "Regex": "regex",
    "TextScorer": "text_scorer",
    "Tilt": "strategies.tilt",
    "Toxicity": "toxicity.plugin",
    "Trace": "engine.trace",
    "UnknownPlugin": "diffusionlm.errors",
    "UnsatisfiableConstraint": "automata",
    "VocabularyBridge": "classifiers.bridge",
    "available": "registry.plugins",
    "compose": "engine.composition",
    "from_config": "registry.configuration",
    "get": "registry.plugins",
    "register": "registry.plugins",
}

__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = _lazy_exports(__name__, _HOME_OF)
