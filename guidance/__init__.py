"""Guidance: plugins that steer every denoising step, and what makes them safe to combine.

A plugin is an energy (`Guidance`); a constraint (`Constraint`) is a rule that always holds. See docs/write-a-plugin.md.

* what a plugin is: contract, constraint, lazy_constraint, function_plugin; settings and state are what it has and sees.
* plugins, one file or one folder each: length, phrases, regex, classifier, classifier_free, text_scorer, toxicity/, pii/,
  syntax/, structured/. What they stand on: automata/ (exact rules), readers/ and bridge (networks that judge), highlight.
* finding and making them: registry, origin, configuration, scaffold.
* what a call does with them: composition, then session at each step, by strategies (tilt, latent, particles) within the
  trust_region and towards goals; calls runs a plugin and says where it failed, conflicts and trace tell what happened.
* testing/: the conformance kit. tiny_classifier and tiny_reader: networks with random weights for examples and tests.
"""

if __name__ != "diffusionlm.guidance":
    raise ImportError(
        "This folder is the package 'diffusionlm.guidance' and has no life of its own: "
        "write 'import diffusionlm.guidance' instead of 'import guidance'. "
        "(The bare name may belong to another distribution.)"
    )

from diffusionlm.guidance.lazy_exports import lazy_exports as _lazy_exports

# Where each public name lives; the module is imported when the name is first asked for (PEP 562).
_HOME_OF = {
    "AutomatonTooLarge": "automata",
    "Choice": "structured.choice",
    "Classifier": "classifier",
    "ClassifierFree": "classifier_free",
    "Composition": "composition",
    "Constituents": "syntax.constituents",
    "Constraint": "constraint",
    "Dependencies": "syntax.dependencies",
    "Exact": "strategies",
    "FunctionGuidance": "function_plugin",
    "Grammar": "structured.grammar",
    "Guidance": "contract",
    "GuidanceError": "errors",
    "GuidanceState": "state",
    "JSONSchema": "structured.json_schema",
    "Latent": "strategies",
    "Length": "length",
    "PII": "pii.plugin",
    "PartOfSpeech": "syntax.parts_of_speech",
    "Particles": "strategies",
    "PersonalNames": "pii.names",
    "Phrases": "phrases",
    "Regex": "regex",
    "TextScorer": "text_scorer",
    "Tilt": "strategies",
    "Toxicity": "toxicity.plugin",
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

__getattr__, __dir__ = _lazy_exports(__name__, _HOME_OF)
