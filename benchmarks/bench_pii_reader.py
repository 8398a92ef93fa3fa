"""How well personal data of fixed form is read: the share missed, and the share of harmless texts taken for it.

    python -m benchmarks.bench_pii_reader --annotated FILE --positives 2000 --negatives 2000

Two sets. Generated: `benchmarks.pii_suite`, data in many disguises and harmless look-alikes; a positive is missed if
nothing is found that overlaps its datum, whatever it is called; a look-alike is false if anything is found in it.
Annotated: texts with gold spans, one JSON object a line (presidio-research's form); of the gold spans of fixed form (cards,
telephone numbers, e-mail, IBAN, social security, IP) the share that nothing overlaps, and of all texts the share in which
something is found that overlaps no gold span of any kind.

Beside the reader of `PII` stand Presidio's pattern recognisers (pip install presidio-analyzer) and scrubadub (pip install
scrubadub), where they are installed; Presidio at its usual confidence of 0.4. Names are not judged here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pii_suite import Case, suite
from benchmarks.sample_sets import table
from diffusionlm.evaluation.record import Stopwatch, write_json, write_text
from diffusionlm.guidance import PII
from diffusionlm.guidance.pii.search import find_personal_data

Ranges = list[tuple[int, int]]
Reader = Callable[[str], Ranges]
FIXED = ("CREDIT_CARD", "PHONE_NUMBER", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN", "IP_ADDRESS")


def readers() -> dict[str, Reader]:
    """The readers that are installed, ours first."""
    found: dict[str, Reader] = {"ours": lambda text: [place[1:] for place in find_personal_data(text)]}
    try:
        from diffusionlm.guidance.pii.presidio import PresidioJudge

        judge = PresidioJudge()
        judge.find("warm up")
        found["Presidio"] = lambda text: [(hit.start, hit.end) for hit in judge.find(text)]
    except ImportError as error:
        print(f"Presidio is left out: {error}")
    try:
        import scrubadub

        scrubber = scrubadub.Scrubber()
        found["scrubadub"] = lambda text: [(filth.beg, filth.end) for filth in scrubber.iter_filth(text)]
    except ImportError as error:
        print(f"scrubadub is left out: {error}")
    return found


def overlaps(place: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    """Whether a place shares a character with one of others."""
    return any(place[0] < end and start < place[1] for start, end in others)


def on_suite(read: Reader, cases: Sequence[Case]) -> dict[str, Any]:
    """Shares missed and false over generated texts, with the kinds they fall on."""
    missed, false = Counter[str](), Counter[str]()
    for case in cases:
        found = read(case.text)
        if case.datum is None:
            false[case.kind] += bool(found)
        else:
            missed[case.kind] += not overlaps(case.datum, found)
    positives = sum(case.datum is not None for case in cases)
    return {
        "missed": missed.total() / max(1, positives),
        "false": false.total() / max(1, len(cases) - positives),
        "missed by kind": +missed,
        "false by kind": +false,
    }


def on_annotated(read: Reader, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shares missed and false over annotated texts."""
    missed, gold, false = Counter[str](), Counter[str](), 0
    for line in lines:
        found = read(line["full_text"])
        spans = [(span["start_position"], span["end_position"], span["entity_type"]) for span in line["spans"]]
        for start, end, kind in spans:
            if kind in FIXED:
                gold[kind] += 1
                missed[kind] += not overlaps((start, end), found)
        false += any(not overlaps(place, [span[:2] for span in spans]) for place in found)
    return {
        "missed": missed.total() / max(1, gold.total()),
        "false": false / max(1, len(lines)),
        "missed by kind": +missed,
        "gold": gold,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    cases = suite(options.positives, options.negatives, options.seed)
    lines = []
    if options.annotated is not None:
        lines = [
            json.loads(line) for line in options.annotated.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    rows, figures = [], {}
    for name, read in readers().items():
        began = time.process_time()
        generated = on_suite(read, cases)
        each = (time.process_time() - began) / len(cases) * 1e3
        annotated = on_annotated(read, lines) if lines else {}
        figures[name] = {"generated": generated, "annotated": annotated, "milliseconds": each}
        shares = [generated["missed"], generated["false"], annotated.get("missed"), annotated.get("false")]
        rows.append([name, *("-" if share is None else f"{share:.1%}" for share in shares), f"{each:.2f}"])
    head = ("reader", "missed", "false", "missed, annotated", "false, annotated", "ms a text")
    text = table(head, rows)
    plugin = PII()
    certified = sum(all(plugin.certify(case.text, []).values()) for case in cases if case.datum is not None)
    text += f"\n\nPositives that `PII` would certify as clean: {certified} of {options.positives}."
    print(text)
    figures["certified positives"] = certified
    settings = {
        "positives": options.positives,
        "negatives": options.negatives,
        "seed": options.seed,
        "annotated": len(lines),
    }
    write_json(options.out / "pii-reader.json", watch.record("pii reader", settings, figures, "cpu"))
    write_text(options.out / "pii-reader.md", text + "\n")
    print(f"Records: {options.out}")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--annotated", type=Path, default=None, help="texts with gold spans, JSON lines (default: left out)"
    )
    parser.add_argument("--positives", type=int, default=2000, help="generated texts with a datum (default: 2000)")
    parser.add_argument("--negatives", type=int, default=2000, help="generated look-alikes (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the generated texts (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="folder of the records")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
