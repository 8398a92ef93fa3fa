"""Files cut short: loading one says so in a sentence that names it, whatever is missing, or reads what was written.

    python -m benchmarks.bench_truncated                     # JSON at every byte, other files at 300 places
    python -m benchmarks.bench_truncated --of adapter store --places 50

Small files of every kind (`benchmarks.small_files`: a pipeline with its tokenizer, a classifier, tables, a concept, an adapter,
a store, a checkpoint of a training, a tokenised corpus, the model of somebody else) are cut one at a time. Loading must raise a
sentence of this library with the name of the file; or give exactly what was saved (a last line end is missing, the file is made
again). An error of another library, a sentence that does not say which file, and other contents are faults.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.fuzz import place_of
from benchmarks.small_files import Kept, small_files

EVERY_BYTE = (".json", ".jsonl")
HEADER = 64  # bytes that every cut of is tried


@dataclass
class Cuts:
    """What came of cutting files.

    Attributes:
        refused: cuts that were told with a sentence, by file.
        same: cuts after which what was read is what was written, by file.
        faults: (file, kind of fault) -> (number of cuts, example).
    """

    refused: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    faults: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    def add(self, file: str, kind: str, example: str) -> None:
        """Notes a fault."""
        count, first = self.faults.get((file, kind), (0, example))
        self.faults[file, kind] = (count + 1, first)


def places_of(path: Path, count: int, every_byte: bool = True) -> list[int]:
    """Lengths to which a file is cut: all of a JSON file; else its first and last bytes and others evenly between."""
    size = path.stat().st_size
    if path.suffix in EVERY_BYTE and every_byte:
        return list(range(size))
    ends = [*range(min(HEADER, size)), *range(max(0, size - 8), size)]
    return sorted(
        {*(ends if every_byte else [0, 7, size // 2, size - 1]), *np.linspace(0, size - 1, count).astype(int).tolist()}
    )


def cut(kept: Kept, path: Path, places: Iterable[int], found: Cuts) -> None:
    """Cuts one file at places, loads it each time, and puts it back."""
    whole, expected = path.read_bytes(), kept.load()
    name = f"{kept.name}: {path.relative_to(kept.folder)}"
    rest = {other: other.read_bytes() for other in kept.files()}
    for place in places:
        path.unlink()  # what is mapped must not change under its reader
        path.write_bytes(whole[:place])
        try:
            if kept.load() == expected:
                found.same[name] += 1
            else:
                found.add(name, "other contents", f"{place} of {len(whole)} bytes")
        except Exception as error:
            where, deliberate = place_of(error)
            said = str(error)
            if not deliberate or not isinstance(error, ValueError | OSError):
                found.add(name, f"{type(error).__name__} at {where}", f"{place} bytes: {said[:200]}")
            elif path.name not in said:
                found.add(name, f"the sentence at {where} does not name the file", f"{place} bytes: {said[:300]}")
            elif "\n" in said or len(said) > 1000:
                found.add(name, f"no sentence at {where}", f"{place} bytes: {said[:300]}")
            else:
                found.refused[name] += 1
        for other, content in rest.items():  # what was made again has other bytes
            if not other.is_file() or other.read_bytes() != content:
                other.parent.mkdir(parents=True, exist_ok=True)
                other.unlink(missing_ok=True)
                other.write_bytes(content)


def cut_all(home: Path, of: Sequence[str] = (), places: int = 300, every_byte: bool = True) -> Cuts:
    """Writes small files below ``home`` and cuts each.

    Args:
        home: an empty folder.
        of: kinds of files, by parts of their names; () for all.
        places: number of cuts of a file that is no JSON.
        every_byte: cut JSON at every byte; False: at so many places as well.
    """
    found, log = Cuts(), logging.getLogger("diffusionlm")
    level = log.level
    log.setLevel(logging.ERROR)  # what is made again is warned of
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kept in small_files(home, of):
            for path in kept.files():
                if not path.name.startswith("."):
                    slow = path.name in kept.slow
                    cut(kept, path, places_of(path, places // 10 if slow else places, every_byte and not slow), found)
    log.setLevel(level)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints counts by file and every kind of fault; fails if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", nargs="*", default=[], help="kinds of files, by parts of their names (default: all)")
    parser.add_argument("--places", type=int, default=300, help="cuts of a file that is no JSON")
    given = parser.parse_args(arguments)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as home:
        found = cut_all(Path(home), given.of, given.places)
    print("| file | told | read as it was |\n|---|---|---|")
    for name in sorted({*found.refused, *found.same}):
        print(f"| {name} | {found.refused[name]:,} | {found.same[name]:,} |")
    total = found.refused.total() + found.same.total() + sum(count for count, _ in found.faults.values())
    print(f"{total:,} cuts, {time.process_time() - began:.0f} s of the processor")
    for (name, kind), (count, example) in sorted(found.faults.items()):
        print(f"FAULT {name}: {kind} ({count} cuts)\n  {example}")
    if found.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
