"""Structured text: sixty schemas, time, choices against the truth, and constraints of Diffinity's kinds.

    python -m benchmarks.bench_structured --only schemas
    python -m benchmarks.bench_structured --only choices --data data/e2e --texts 60

* schemas: for each of `benchmarks.schemas` the time to compile (characters, tokens), texts by the model, how many of them
  jsonschema finds valid, and seconds a text. Schemas whose shortest text does not fit the model are listed.
* choices: held-out E2E sentences in which the value of one field is left out; accuracy, log loss and calibration of `choose`.
* kinds: prefix, suffix, appearance, between and JSON: how many texts obey.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.commandline import add_data, load_pipeline, make_parser
from benchmarks.field_questions import judged, questions
from benchmarks.schemas import SCHEMAS
from diffusionlm import DiffusionLMPipeline
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.record import write_json
from diffusionlm.guidance import JSONSchema, Regex, UnsatisfiableConstraint
from diffusionlm.guidance.structured.json_schema import is_valid
from diffusionlm.guidance.structured.schema_language import Form, SchemaCompiler
from diffusionlm.guidance.structured.spanwise import over_tokens

KINDS: dict[str, Any] = {
    "prefix": Regex(match=r"The Eagle .*"),
    "suffix": Regex(match=r".* near the river\."),
    "appearance": Regex(require=r"\bItalian\b"),
    "between": Regex(require=r"pub [^.]+ food"),
    "json": JSONSchema(SCHEMAS["restaurant"]),
}


def schemas(pipe: DiffusionLMPipeline, count: int, steps: int, seed: int) -> list[dict[str, Any]]:
    """A row for each schema."""
    rows = []
    for name, schema in SCHEMAS.items():
        row: dict[str, Any] = {"schema": name}
        began = time.perf_counter()
        language = SchemaCompiler(schema, Form()).compile()
        row["compile_characters_s"] = time.perf_counter() - began
        began = time.perf_counter()
        tokens = over_tokens(language, pipe.tokenizer.vocabulary, JSONSchema(schema).named())
        row["compile_tokens_s"] = time.perf_counter() - began
        row["states"] = tokens.num_states
        plugin = JSONSchema(schema)
        try:
            pipe(guidance=plugin, steps=1, seed=seed)  # binds
            began = time.perf_counter()
            texts = pipe(guidance=plugin, num_samples=count, steps=steps, seed=seed).texts
        except UnsatisfiableConstraint:
            row["fits"] = False
        else:
            row |= {"fits": True, "seconds_a_text": (time.perf_counter() - began) / count}
            row |= {"texts": count, "valid": sum(is_valid(schema, text) for text in texts), "example": texts[0]}
        rows.append(row)
        print(row, flush=True)
    return rows


def choices(pipe: DiffusionLMPipeline, data: Path, count: int, draws: int, steps: int, seed: int) -> dict[str, Any]:
    """Accuracy, mean log loss in nats and expected calibration error for each field."""
    asked = questions(read_e2e(data / "valid.txt"), count, seed, lambda text: len(pipe.tokenizer.encode(text)) <= 50)
    given = {"draws": draws, "steps": steps, "seed": seed}
    return judged(asked, [pipe.choose(question.open_text, **given).probabilities for question in asked])


def kinds(pipe: DiffusionLMPipeline, count: int, steps: int, seed: int) -> dict[str, Any]:
    """How many texts obey, by kind of constraint."""
    found = {}
    for name, plugin in KINDS.items():
        result = pipe(guidance=plugin, num_samples=count, steps=steps, seed=seed)
        obey = sum(all(held.values()) for held in result.certificates)
        found[name] = {"texts": count, "obey": obey, "example": result.texts[0]}
    return found


def main() -> None:
    """Runs the parts asked for and writes a record."""
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--only", choices=("schemas", "choices", "kinds"), action="append", help="parts (default: all)")
    parser.add_argument("--texts", type=int, default=20, help="texts a schema or kind, sentences a field")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--draws", type=int, default=8)
    options = parser.parse_args()
    pipe = load_pipeline(options)
    parts = options.only or ["schemas", "choices", "kinds"]
    record: dict[str, Any] = {"model": options.model, "steps": options.steps, "seed": options.seed}
    if "schemas" in parts:
        rows = schemas(pipe, options.texts, options.steps, options.seed)
        fitting = [row for row in rows if row["fits"]]
        record["schemas"] = rows
        written = sum(row["texts"] for row in fitting)
        print(
            f"valid: {sum(row['valid'] for row in fitting)} of {written} texts, {len(fitting)} of {len(rows)} schemas fit"
        )
    if "choices" in parts:
        record["choices"] = choices(pipe, options.data, options.texts, options.draws, options.steps, options.seed)
        print(record["choices"])
    if "kinds" in parts:
        record["kinds"] = kinds(pipe, options.texts, options.steps, options.seed)
        print(record["kinds"])
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "structured.json", record)


if __name__ == "__main__":
    main()
