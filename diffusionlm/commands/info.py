"""``diffusionlm info``: what a checkpoint is."""

from __future__ import annotations

import json

SUMMARY = "Tell what a checkpoint is: size, data, licence, figures"
HELP = """usage: diffusionlm info [CHECKPOINT] [--json] [--self-test]

Without CHECKPOINT, lists the bundled ones. A checkpoint is a bundled name, a folder, or owner/name on the Hub.
--self-test (somebody else's model) checks on clean text whether the shift of its logits and its attention are as assumed.
"""


def main(argv: list[str]) -> int:
    """Prints the facts of a checkpoint; reads no weights into memory but for their shapes."""
    if any(argument in ("-h", "--help") for argument in argv):
        print(HELP, end="")
        return 0
    as_json = "--json" in argv
    testing = "--self-test" in argv
    names = [argument for argument in argv if argument not in ("--json", "--self-test")]
    unknown = [name for name in names if name.startswith("-")]
    if unknown or len(names) > 1:
        raise ValueError(f"diffusionlm info takes one checkpoint, --json and --self-test, got {' '.join(argv)!r}.")
    from diffusionlm.checkpoints.folders import bundled_names

    if not names:
        for name in bundled_names():
            facts = describe(name)
            print(f"{name:<14} {facts['parameters'] / 1e6:.1f} M parameters  {facts['card'].get('summary', '')}")
        return 0
    if testing:
        return _self_test(names[0])
    facts = describe(names[0])
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for inner, entry in value.items():
                print(f"  {inner}: {_one_line(entry)}")
        else:
            print(f"{key}: {_one_line(value)}")
    return 0


def _self_test(name: str) -> int:
    """Prints what clean text says of a model; 1 where it contradicts what is assumed."""
    from diffusionlm.families.self_test import run_self_test
    from diffusionlm.pipeline import DiffusionLMPipeline

    pipe = DiffusionLMPipeline.from_pretrained(name)
    found = run_self_test(pipe.model, pipe.tokenizer)
    for sentence in (*found.findings(), *found.contradictions()):
        print(sentence)
    return 1 if found.contradictions() else 0


def describe(name: str) -> dict:
    """Facts of a checkpoint: folder, parameters, size on disk, vocabulary, shape, schedule, sampler, card."""
    from safetensors import SafetensorError, safe_open

    from diffusionlm.checkpoints.folders import INDEX, WEIGHTS, find_folder, read_index

    folder = find_folder(name)
    if not (folder / INDEX).is_file():  # PyTorch is imported for somebody else's model alone
        from diffusionlm.checkpoints.foreign import describe_foreign

        return describe_foreign(folder)
    index = read_index(folder)
    weights = folder / "denoiser" / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(f"The checkpoint has no {weights}.")
    parameters = 0
    try:
        with safe_open(weights, "numpy") as file:
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                size = 1
                for dimension in file.get_slice(key).get_shape():
                    size *= dimension
                parameters += size
    except SafetensorError as error:
        raise ValueError(f"The weights {weights} are damaged ({error}); fetch or train them again.") from error
    config_file = folder / "denoiser" / "config.json"
    if not config_file.is_file():
        raise FileNotFoundError(f"The checkpoint has no {config_file}.")
    try:
        config = json.loads(config_file.read_text())
    except ValueError as error:
        raise ValueError(f"The configuration {config_file} cannot be read: {error}") from error
    shape = ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_experts")
    return {
        "folder": str(folder),
        "parameters": parameters,
        "megabytes": round(weights.stat().st_size / 2**20, 1),
        "max_length": index.get("max_length"),
        "max_span_length": index.get("max_span_length"),
        "steps": index.get("steps", 32),
        "sampler": index.get("sampler"),
        "schedule": index.get("schedule"),
        "model": {key: config[key] for key in shape if key in config},
        "card": index.get("card", {}),
    }


def _one_line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
