"""Quality in a model card: figures of faults beside real text, and texts chosen by seed, unedited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusionlm.checkpoints.folders import defaults_file, find_folder, read_defaults
from diffusionlm.evaluation.record import write_json, write_text

SHOWN = 40  # texts of a card
BEGIN, END = "<!-- quality: written by 'diffusionlm evaluate card' -->", "<!-- end of quality -->"
_FIGURES = (
    "fault", "strange", "strange pairs", "repeat", "nonword", "stumble", "tail", "verbatim copies", "copied 8-grams",
)  # fmt: skip
_RATIOS = ("perplexity ÷ real text", "entropy ÷ real text", "distinct 4-grams ÷ real text")


def card_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of an evaluation for the entry "quality" of a card, as `diffusionlm info` shows it.

    Args:
        record: of an evaluation with the task `quality` (see `diffusionlm.evaluation.harness.read_results`).

    Raises:
        ValueError: the evaluation has no result of the task.
    """
    figures = {item["name"]: item for item in _task(record)["figures"]}
    facts: dict[str, Any] = {}
    for name in _FIGURES:
        if name in figures:
            facts[name] = _rounded(figures[name]["value"])
            facts[f"{name}, real text"] = _rounded(figures[f"real text: {name}"]["value"])
    facts |= {name: _rounded(figures[name]["value"]) for name in _RATIOS if name in figures}
    settings = record["settings"]
    return facts | {
        "texts": len(figures["fault"]["items"]),
        **{key: settings[key] for key in ("steps", "temperature", "seed", "judge")},
    }


def card_section(record: Mapping[str, Any]) -> str:
    """The section "Quality" of a card in Markdown: a table, then the first texts by seed, unedited.

    Args:
        record: as for `card_facts`.

    Raises:
        ValueError: the evaluation has no result of the task.
    """
    task, settings = _task(record), record["settings"]
    facts = card_facts(record)
    texts = task["samples"][: min(SHOWN, facts["texts"])]
    rows = [
        f"| {name} | {_percent(facts[name])} | {_percent(facts[f'{name}, real text'])} |"
        for name in _FIGURES
        if name in facts
    ]
    ratios = ", ".join(f"{name} {facts[name]:.3g}" for name in _RATIOS if facts.get(name) is not None)
    seed = settings["seed"]
    return "\n".join(
        [
            BEGIN,
            "## Quality",
            "",
            f"Share of {facts['texts']} texts written from nothing (seed {seed} on, {settings['steps']} steps, temperature "
            f"{settings['temperature']:.3g}) with a fault that a reader sees, and of as many held-out texts; "
            f"{ratios}. Judge: {settings['judge']}. What the measures count: docs/evaluate.md.",
            "",
            "| share of texts | samples | real text |",
            "|---|---|---|",
            *rows,
            "",
            f"The texts of the seeds {seed} to {seed + len(texts) - 1}, unedited:",
            "",
            *(f"{number}. {_escaped(text)}" for number, text in enumerate(texts, start=1)),
            END,
        ]
    )


def write_card(record: Mapping[str, Any], checkpoint: str | Path) -> Path:
    """Writes figures and texts into a checkpoint: the entry "quality" of its card, and the section of its README.md.

    A section that was there is replaced; the rest of the file stays.

    Args:
        record: of an evaluation with the task `quality`.
        checkpoint: its folder, or a bundled name.

    Returns:
        The README.md.

    Raises:
        ValueError: the evaluation has no result of the task, or was made of other weights.
        FileNotFoundError: there is no such checkpoint.
    """
    folder = find_folder(checkpoint)
    index = read_defaults(folder)
    made_of, here = record["checkpoint"].get("sha256"), index.get("sha256")
    if here is not None and made_of != here:
        raise ValueError(
            f"The evaluation was made of other weights ({made_of[:12]}) than {folder} holds ({here[:12]}): evaluate these."
        )
    section, readme = card_section(record), folder / "README.md"
    index["card"] = {**(index.get("card") or {}), "quality": card_facts(record)}
    text = readme.read_text(encoding="utf-8") if readme.is_file() else f"# {folder.name}\n"
    before, begins, rest = text.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if begins and not ends:
        raise ValueError(f"{readme} has the line {BEGIN} without {END}: put the end back, or take the line out.")
    write_text(readme, before.rstrip("\n") + "\n\n" + section + (after if begins else "\n"))
    path, content = defaults_file(folder, index)
    write_json(path, content)
    return readme


def _task(record: Mapping[str, Any]) -> dict[str, Any]:
    task = record.get("tasks", {}).get("quality")
    if not task or task.get("left_out"):
        why = f": {task['left_out']}" if task else ""
        raise ValueError(f"The evaluation has no result of the task 'quality'{why}; run it with tasks=[quality].")
    return task


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _escaped(text: str) -> str:
    """A text as one item of a Markdown list, to be read as it stands."""
    plain = " ".join(text.split())
    for sign in "\\`*_[]<>#|":
        plain = plain.replace(sign, f"\\{sign}")
    return plain or "(empty)"
