"""Tasks `control/pos`, `control/spans` and `control/tree`: parts of speech, phrases and dependencies, judged by spaCy."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from diffusionlm.evaluation import syntax_judge
from diffusionlm.evaluation.context import Context
from diffusionlm.evaluation.control import ControlTarget, ControlTask
from diffusionlm.evaluation.registry import Unavailable, register
from diffusionlm.guidance.registry.configuration import plugins_from
from diffusionlm.text.lines import read_lines

AGREED = ("det", "amod", "compound")  # relations that Universal Dependencies and the judge's scheme draw alike


class SyntaxTask(ControlTask):
    """Base of the three: the plugin is bound before anything runs, so that missing tables show at once."""

    plugin = ""
    judged_by = syntax_judge.NAME
    judge_names = syntax_judge.KNOWN_AS

    def check(self, context: Context) -> None:
        """Plugin, its tables and the judge are there."""
        context.need_plugin(self.plugin)
        syntax_judge.find_spacy()
        super().check(context)

    def usable(self, context: Context, targets: list[ControlTarget], count: int) -> list[ControlTarget]:
        """The first ``count`` targets that the plugin can be made for.

        Raises:
            Unavailable: it can be made for none; with the plugin's own reason.
        """
        found: list[ControlTarget] = []
        reason = "there are no targets"
        for target in targets:
            if len(found) == count:
                break
            try:
                for plugin in plugins_from(target.guidance):
                    plugin.bind(context.pipe.tokenizer.vocabulary)
            except FileNotFoundError as error:
                raise Unavailable(str(error)) from error
            except ValueError as error:
                reason = str(error)
                continue
            found.append(target)
        if not found:
            raise Unavailable(reason)
        return found

    def notes(self, context: Context) -> list[str]:
        """On judge and guide."""
        return [
            f"Judged by {self.judged_by}. What the plugin knows of tags may have been counted on texts that a spaCy model "
            "tagged; see the card of its tables."
        ]


def read_targets(context: Context, name: str) -> list[dict[str, Any]]:
    """Lines of a file of targets, as objects; without START, END and the line's end.

    Raises:
        Unavailable: there is no such file.
        ValueError: a line of another form.
    """
    path = context.data.targets(name)
    if path is None:
        raise Unavailable(f"there is no control_targets/{name}.jsonl in data.root")
    return [_target(line, f"{path}, line {i}") for i, line in enumerate(_lines(path), start=1)]


def _lines(path: Path) -> list[str]:
    return [line for line in read_lines(path) if line.strip()]


def _target(line: str, where: str) -> dict[str, Any]:
    data = json.loads(line)
    words = data.get("words_") if isinstance(data, dict) else None
    if not isinstance(words, list) or words[:1] != ["START"] or words[-1:] != ["END"]:
        raise ValueError(f'{where}: expected an object with "words_": ["START", ..., "END"], got {line[:80]}')
    kept = [i for i, word in enumerate(words) if word not in ("START", "END") and word.strip()]
    return {**data, "words": [words[i] for i in kept], "tags": [data["pos"][i] for i in kept] if "pos" in data else []}


@register("control/pos")
@dataclass
class ControlPos(SyntaxTask):
    """A sequence of parts of speech, word for word; success is the share of tags that are right (Li et al. 2022, 5.1).

    Args:
        count: targets, of ``control_targets/pos.jsonl``.
        per_target: samples of each.
        strengths: weights of the plugin for the frontier; [] draws none.
    """

    count: int = 12
    per_target: int = 2
    strengths: list[float] = field(default_factory=lambda: [0.5, 1.0, 4.0])

    full = {"count": 100, "per_target": 4}
    order = 50
    plugin = "part-of-speech"

    def targets(self, context: Context) -> list[ControlTarget]:
        """Sequences of the file."""
        limit = context.pipe.max_length - 4
        found = [
            ControlTarget(
                " ".join(item["tags"]),
                {self.plugin: {"tags": list(item["tags"])}},
                partial(syntax_judge.tags_right, tuple(item["tags"])),
            )
            for item in read_targets(context, "pos")
            if item["tags"] and len(item["tags"]) <= limit
        ]
        return self.usable(context, found, self.count)


@register("control/spans")
@dataclass
class ControlSpans(SyntaxTask):
    """Certain words form a phrase, noun phrase or prepositional phrase (Li et al. 2022, section 5.1, "syntax spans").

    No constituency parser is at hand as judge: a phrase counts if it is all that hangs on one preposition or nominal in
    spaCy's parse. Other labels of the file are left out.

    Args:
        count: targets, of ``control_targets/spans.jsonl``.
        per_target: samples of each.
    """

    count: int = 12
    per_target: int = 2

    full = {"count": 100, "per_target": 4}
    order = 52
    plugin = "constituents"

    def targets(self, context: Context) -> list[ControlTarget]:
        """Phrases of the file."""
        found = []
        for item in read_targets(context, "spans"):
            first, last, label = item["spans"][0]
            if label in ("NP", "PP"):
                wish = f"{label} {first}-{last}"
                found.append(ControlTarget(wish, {self.plugin: {"spans": wish}}, partial(_phrase, first, last, label)))
        return self.usable(context, list({target.name: target for target in found}.values()), self.count)


@register("control/tree")
@dataclass
class ControlTree(SyntaxTask):
    """Dependencies of certain words, taken from held-out texts: determiners, adjectives, compounds and their nouns.

    Args:
        count: targets.
        arcs: of each.
        per_target: samples of each.
    """

    count: int = 12
    arcs: int = 2
    per_target: int = 2

    full = {"count": 100, "per_target": 4}
    order = 54
    plugin = "dependencies"

    def targets(self, context: Context) -> list[ControlTarget]:
        """Arcs of real texts, as the judge sees them."""
        if context.data.path("valid") is None:
            raise Unavailable("there are no held-out texts to take dependencies from")
        found: dict[str, ControlTarget] = {}
        for _, text in context.data.held_out[: 8 * self.count]:
            seen = syntax_judge.parse(text)
            arcs = [
                (relation, head, word)
                for word, (head, relation) in enumerate(zip(seen.heads, seen.relations, strict=True))
                if relation in AGREED and abs(head - word) <= 3
            ][: self.arcs]
            if len(arcs) == self.arcs:
                wish = ", ".join(f"{relation}({head}, {word})" for relation, head, word in arcs)
                found[wish] = ControlTarget(wish, {self.plugin: {"arcs": wish}}, partial(_joined, tuple(arcs)))
        return self.usable(context, list(found.values()), self.count)


def _phrase(first: int, last: int, label: str, text: str) -> float:
    return float(bool(text.strip()) and syntax_judge.parse(text).is_phrase(first, last, label))


def _joined(arcs: tuple[tuple[str, int, int], ...], text: str) -> float:
    if not text.strip():
        return 0.0
    seen = syntax_judge.parse(text)
    right = [
        word < len(seen.words) and (seen.relations[word], seen.heads[word]) == (relation, head)
        for relation, head, word in arcs
    ]
    return float(all(right))
