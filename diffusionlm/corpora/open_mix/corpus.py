"""The files of the corpus: cleaned rows of all sources, without doubles, a share of them held out by their hash."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from diffusionlm.corpora.open_mix.cleaning import reason_to_drop
from diffusionlm.corpora.open_mix.found import Found, same_text
from diffusionlm.corpora.open_mix.recipe import Recipe, Source, load_recipe
from diffusionlm.corpora.open_mix.sources import COUNTED, reader_of
from diffusionlm.corpora.open_mix.words import OtherNames, commonest, pattern_of, words_of

DEFAULT_RECIPE = "open_mix"
SPLITS = ("train", "valid")
LABELS = ("toxicity", "insult", "obscene", "threat", "identity_attack")


@dataclass
class Counts:
    """Figures of one part of the mix.

    Attributes:
        texts: of each split.
        words: in all of them.
        toxic: texts that are known to be.
        doubles: texts that were there before.
        dropped: texts left out, by reason.
    """

    texts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    words: int = 0
    toxic: int = 0
    doubles: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Counts) -> Counts:
        """The figures of both together."""
        texts = {split: self.texts[split] + other.texts[split] for split in SPLITS}
        sums = (self.words + other.words, self.toxic + other.toxic, self.doubles + other.doubles)
        return Counts(texts, *sums, self.dropped + other.dropped)


def write_corpus(
    source_folder: str | Path,
    folder: str | Path,
    recipe: Recipe | str | Path = DEFAULT_RECIPE,
    seed: int = 0,
    requests: int | None = None,
    valid_share: float | None = None,
    on_source: Callable[[str, Counts], None] | None = None,
) -> dict[str, Counts]:
    """Writes ``train.jsonl`` and ``valid.jsonl``, and each source's part of them as ``train/NAME.jsonl``.

    Rows have text, source, prompt, toxic (0 or 1), labels (name -> 0 or 1) and spans ([start, end, TYPE] in characters);
    what nobody said of a text is null. The files are the same, byte for byte, for the same arguments and the same release
    of Faker. Files of that name in ``folder`` are replaced when all are complete, not before.

    Args:
        source_folder: that holds the files of the recipe.
        folder: made if it is not there.
        recipe: a `Recipe`, the name of one that comes with the package, or a YAML file.
        seed: of the split, the lengths of runs, the prompts and the invented data.
        requests: texts to make of each source that is made (templates, guestbook), if not as many as the recipe says.
        valid_share: share of the texts that is held out, if not the recipe's.
        on_source: told of every part of the mix that is complete.

    Returns:
        the counts of each part.

    Raises:
        FileNotFoundError: if sources are missing; the message names them all.
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
        ValueError: if a number is not allowed or a source cannot be read; the message names file and line.
    """
    recipe = _changed(recipe if isinstance(recipe, Recipe) else load_recipe(recipe), requests, valid_share)
    _check(Path(source_folder), recipe)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {name: Counts() for name in recipe.parts}
    with _drafts(folder / ".draft") as draft:
        common = _collect(recipe, Path(source_folder), seed, draft, counts)
        place = _Splits(recipe, seed)
        with ExitStack() as stack:
            whole = {split: stack.enter_context(_opened(draft / f"{split}.jsonl")) for split in SPLITS}
            for part in recipe.parts:
                with ExitStack() as inner:
                    files = {s: inner.enter_context(_opened(draft / s / f"{part}.jsonl")) for s in SPLITS}
                    for split, row in _rows(
                        _kept(draft, recipe, part), recipe, part, seed, common, place, counts[part]
                    ):
                        line = json.dumps(row, ensure_ascii=False) + "\n"
                        whole[split].write(line)
                        files[split].write(line)
                if on_source:
                    on_source(part, counts[part])
        for file in sorted(draft.rglob("*.jsonl")):
            target = folder / file.relative_to(draft)
            target.parent.mkdir(exist_ok=True)
            file.replace(target)
    return counts


@contextmanager
def _drafts(draft: Path) -> Iterator[Path]:
    """A folder for unfinished files; what a killed call left there is removed first."""
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _changed(recipe: Recipe, requests: int | None, valid_share: float | None) -> Recipe:
    if valid_share is not None:
        recipe = replace(recipe, valid_share=valid_share)
    if requests is None:
        return recipe
    if requests < 1:
        raise ValueError(f"At least 1 text is made from the templates, got {requests}.")
    return replace(
        recipe, sources=tuple(replace(s, count=requests) if s.form in COUNTED else s for s in recipe.sources)
    )


def _check(folder: Path, recipe: Recipe) -> None:
    files = {source.file: source.what for source in recipe.sources if source.file}
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        named = "".join(f"\n  {file}: {files[file]}" for file in missing)
        raise FileNotFoundError(
            f"The folder of sources '{folder}' lacks {len(missing)} of {len(files)} files; put there, in UTF-8:{named}"
        )


# ---- first pass: every source is read, cleaned and put aside, and words are counted -----------------------------------------


def _collect(recipe: Recipe, folder: Path, seed: int, draft: Path, counts: dict[str, Counts]) -> frozenset[str] | None:
    """Puts the cleaned texts of each source aside in ``draft``; returns the common words, or None for all words."""
    careless, rename = pattern_of(recipe.careless), OtherNames(recipe.names)
    words: Counter[str] = Counter()
    for number, source in enumerate(recipe.sources):
        dropped, read = counts[source.name].dropped, reader_of(source.form, source.count)
        with (draft / f"{number}.collected").open("wb") as stream:
            for found in read(folder / source.file, str(seed)):
                if source.keep < 1 and _drawn(f"{seed}/keep/{same_text(found.text)}/{found.group}") >= source.keep:
                    continue
                if not found.made:
                    reason = reason_to_drop(found.text, recipe.min_words, recipe.max_words) if found.text else "unfit"
                    if not reason and careless and source.careful and careless.search(found.text):
                        reason = "careless"
                    if reason:
                        dropped[reason] += 1
                        continue
                    if recipe.names and not found.spans:
                        about = found.group or found.text
                        text, previous = rename(found.text, about), rename(found.previous, about)
                        found = replace(found, text=text, previous=previous)
                    if source.common and recipe.common_words:
                        words.update(set(words_of(found.text)))
                if careless and found.previous and careless.search(found.previous):
                    found = replace(found, previous="")
                pickle.dump(found, stream)
    return commonest(words, recipe.common_words) if recipe.common_words else None


def _kept(draft: Path, recipe: Recipe, part: str) -> Iterator[tuple[Source, Found]]:
    """Entries that `_collect` put aside for a part of the mix, in order."""
    for number, source in enumerate(recipe.sources):
        if source.name != part:
            continue
        with (draft / f"{number}.collected").open("rb") as stream:
            while stream.peek(1):
                yield source, pickle.load(stream)


# ---- second pass: doubles and rare words are left out, the rest is split -----------------------------------------------------


class _Splits:
    """Decides which split a text is in, and how often it may come: never in both."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe, self.seed = recipe, seed
        self.seen: dict[int, tuple[str, int]] = {}

    def of(self, found: Found, key: int) -> str | None:
        """The split of a text; None if it has come often enough, or is in the other split."""
        group = same_text(found.group or found.text)
        split = "valid" if _drawn(f"{self.seed}/{group}") < self.recipe.valid_share else "train"
        before, times = self.seen.get(key, (split, 0))
        if before != split or times >= (self.recipe.repeats if found.previous else 1):
            return None
        self.seen[key] = split, times + 1
        return split


def _rows(
    collected: Iterator[tuple[Source, Found]],
    recipe: Recipe,
    part: str,
    seed: int,
    common: frozenset[str] | None,
    place: _Splits,
    counts: Counts,
) -> Iterator[tuple[str, dict[str, Any]]]:
    for source, found in collected:
        if common is not None and source.common and not found.made and not common.issuperset(words_of(found.text)):
            counts.dropped["rare word"] += 1
            continue
        key = same_text(found.text)
        split = place.of(found, key)
        if split is None:
            counts.doubles += 1
            continue
        counts.texts[split] += 1
        counts.words += len(found.text.split())
        counts.toxic += found.toxic or 0
        yield split, _row(found, recipe, part, random.Random(f"{seed}/{key}{found.previous}"))


def _row(found: Found, recipe: Recipe, part: str, rng: random.Random) -> dict[str, Any]:
    told = found.conditions if found.always or rng.random() < recipe.tone_share else ()
    prompt = ", ".join((f"source[{part}]", *told))
    if found.previous and rng.random() < recipe.reply_share:
        prompt = found.previous
    labels = None if found.labels is None else {name: found.labels.get(name) for name in LABELS}
    return {
        "text": found.text,
        "source": part,
        "prompt": prompt,
        "toxic": found.toxic,
        "labels": labels,
        "spans": found.spans,
    }


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(exist_ok=True)
    return path.open("w", encoding="utf-8", newline="\n")


def _drawn(seed: str) -> float:
    """A number in [0, 1) that the seed decides."""
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=6).digest(), "big") / 2**48
