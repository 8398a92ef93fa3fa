"""Structured text from a pipeline: objects that follow a JSON Schema, and probabilities of options.

    objects = pipe.json(schema, num_samples=4)
    answer = pipe.choose("The Mill is a [CHOICE:pub|restaurant|coffee shop] near [SPAN].")

The rules themselves are the plugins `JSONSchema`, `Grammar` and `Choice` of `diffusionlm.guidance`. json_objects calls the
pipeline and reads its texts, fixed_structure makes known text of the structure that a schema fixes, choosing asks for options.
"""

from diffusionlm.guidance.registry.lazy_exports import lazy_exports as _lazy_exports

_HOME_OF = {
    "Choices": "choosing",
    "choose": "choosing",
    "generate_json": "json_objects",
    "json_canvas": "fixed_structure",
}

__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = _lazy_exports(__name__, _HOME_OF)
