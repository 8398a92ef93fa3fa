"""The files of the corpus: cleaned rows of all sources, without doubles, a share of them held out by their hash."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from diffusionlm.corpora.open_mix.cleaning import reason_to_drop
from diffusionlm.corpora.open_mix.found import Found, same_text
from diffusionlm.corpora.open_mix.sources import Source, sources

REQUESTS, VALID_SHARE = 12_000, 0.01
SPLITS = ("train", "valid")
LABELS = ("toxicity", "insult", "obscene", "threat", "identity_attack")
_TONE_SHARE = 0.5  # of the prompts that tell more than the source


@dataclass
class Counts:
    """Figures of one source.

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
    seed: int = 0,
    requests: int = REQUESTS,
    valid_share: float = VALID_SHARE,
    on_source: Callable[[str, Counts], None] | None = None,
) -> dict[str, Counts]:
    """Writes ``train.jsonl`` and ``valid.jsonl``, and each source's part of them as ``train/NAME.jsonl``.

    Rows have text, source, prompt, toxic (0 or 1), labels (name -> 0 or 1) and spans ([start, end, TYPE] in characters);
    what nobody said of a text is null. The files are the same, byte for byte, for the same arguments and the same release
    of Faker. Files of that name in ``folder`` are replaced when all are complete, not before.

    Args:
        source_folder: that holds the files of `sources`.
        folder: made if it is not there.
        seed: of the split, the lengths of runs, the prompts and the invented data.
        requests: sentences to make from the templates.
        valid_share: share of the texts that is held out.
        on_source: told of every source that is read to its end.

    Returns:
        the counts of each source.

    Raises:
        FileNotFoundError: if sources are missing; the message names them all.
        ModuleNotFoundError: if Faker is not installed; the message names the extra.
        ValueError: if a number is not allowed or a source cannot be read.
    """
    if requests < 1:
        raise ValueError(f"At least 1 sentence is made from the templates, got {requests}.")
    if not 0 < valid_share < 1:
        raise ValueError(f"The share that is held out must lie between 0 and 1, got {valid_share}.")
    parts = sources(requests)
    _check(Path(source_folder), parts)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Counts] = {}
    seen: set[int] = set()
    with tempfile.TemporaryDirectory(prefix=".draft_", dir=folder) as name:
        draft = Path(name)
        with ExitStack() as stack:
            whole = {split: stack.enter_context(_opened(draft / f"{split}.jsonl")) for split in SPLITS}
            for source in parts:
                counts[source.name] = Counts()
                with ExitStack() as inner:
                    part = {s: inner.enter_context(_opened(draft / s / f"{source.name}.jsonl")) for s in SPLITS}
                    for split, row in _rows(source, Path(source_folder), seed, valid_share, seen, counts[source.name]):
                        line = json.dumps(row, ensure_ascii=False) + "\n"
                        whole[split].write(line)
                        part[split].write(line)
                if on_source:
                    on_source(source.name, counts[source.name])
        for file in sorted(draft.rglob("*.jsonl")):
            place = folder / file.relative_to(draft)
            place.parent.mkdir(exist_ok=True)
            file.replace(place)
    return counts


def _check(folder: Path, parts: tuple[Source, ...]) -> None:
    missing = [source for source in parts if not (folder / source.file).is_file()]
    if missing:
        named = "".join(f"\n  {source.file}: {source.what}" for source in missing)
        raise FileNotFoundError(
            f"The folder of sources '{folder}' lacks {len(missing)} of {len(parts)} files; put there, in UTF-8:{named}"
        )


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(exist_ok=True)
    return path.open("w", encoding="utf-8", newline="\n")


def _rows(
    source: Source, folder: Path, seed: int, valid_share: float, seen: set[int], counts: Counts
) -> Iterator[tuple[str, dict[str, Any]]]:
    for found in source.read(folder / source.file, str(seed)):
        reason = None if found.made else reason_to_drop(found.text) if found.text else "unfit"
        if reason:
            counts.dropped[reason] += 1
            continue
        key = same_text(found.text)
        if key in seen:
            counts.doubles += 1
            continue
        seen.add(key)
        split = "valid" if _drawn(f"{seed}/{same_text(found.group or found.text)}") < valid_share else "train"
        counts.texts[split] += 1
        counts.words += len(found.text.split())
        counts.toxic += found.toxic or 0
        yield split, _row(found, source.name, random.Random(f"{seed}/{key}"))


def _row(found: Found, source: str, rng: random.Random) -> dict[str, Any]:
    told = found.conditions if found.always or rng.random() < _TONE_SHARE else ()
    labels = None if found.labels is None else {name: found.labels.get(name) for name in LABELS}
    return {
        "text": found.text,
        "source": source,
        "prompt": ", ".join((f"source[{source}]", *told)),
        "toxic": found.toxic,
        "labels": labels,
        "spans": found.spans,
    }


def _drawn(seed: str) -> float:
    """A number in [0, 1) that the seed decides."""
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=6).digest(), "big") / 2**48
