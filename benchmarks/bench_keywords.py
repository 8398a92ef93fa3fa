"""Many keywords in one text: time to compile the rule, and time of a call ÷ without, by number of keywords and batch.

    python -m benchmarks.bench_keywords --data E2E --phrases 5 10 20 --batches 1 8 --threads 1

Keywords are different words of four letters or more from held-out sentences, drawn. Compiling: processor seconds of
`Phrases(include=...)`, of binding it to the vocabulary and of the check that a text exists, for words the process has not seen,
after a first rule (tables of the vocabulary are made once a process: the first line). A call with the rule and one without
take turns; the ratio of a round is between these two, the table gives the median, in processor time. Every text is checked
word by word.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.commandline import add_data, held_out_texts, load_pipeline, make_parser
from diffusionlm import DiffusionLMPipeline
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.evaluation.sample_sets import table, verdict
from diffusionlm.guidance import Phrases, compose
from diffusionlm.spans import Canvas


def keywords(texts: Sequence[str], numbers: Sequence[int], seed: int) -> list[list[str]]:
    """Sets of words of these sizes, no word in two of them or within another.

    Raises:
        ValueError: the texts have fewer.
    """
    words = sorted({word for text in texts for word in re.findall(r"\b[a-z]{4,}\b", text)})
    random.Random(seed).shuffle(words)
    if len(words) < sum(numbers):
        raise ValueError(f"{sum(numbers)} different words are needed, the held-out texts have {len(words)}.")
    sets, begin = [], 0
    for number in numbers:
        sets.append(words[begin : begin + number])
        begin += number
    return sets


def compiled(pipe: DiffusionLMPipeline, words: Sequence[str], length: int) -> float:
    """Processor seconds until a rule for these words is ready on a canvas of ``length`` positions."""
    vocabulary = pipe.tokenizer.vocabulary
    layout = Canvas.parse(f"[SPAN:{length}]").lay_out(pipe.tokenizer, length)
    began = time.process_time()
    steering = compose(Phrases(include=words), vocabulary)
    steering.check([layout], [layout.allowed(vocabulary)])
    return time.process_time() - began


def rounds_of(
    pipe: DiffusionLMPipeline, words: Sequence[str], batch: int, steps: int, length: int, rounds: int, seed: int
) -> dict[str, Any]:
    """Median and quartiles of processor time with the rule ÷ without, and how many texts lack a word."""
    given = {"num_samples": batch, "steps": steps, "max_length": length}
    ratios, plain, lacking = [], [], 0
    for turn in range(rounds + 1):  # the first round compiles and is left out
        began = time.process_time()
        result = pipe(guidance=Phrases(include=words), seed=seed + turn, **given)
        middle = time.process_time()
        pipe(seed=seed + turn, **given)
        ended = time.process_time()
        lacking += sum(not says_all(text, words) for text in result.texts)
        if turn:
            ratios.append((middle - began) / (ended - middle))
            plain.append((ended - middle) / steps)
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {
        "ratio": float(middle),
        "quartiles": [float(low), float(high)],
        "seconds_a_step_without": float(np.median(plain)),
        "texts": batch * (rounds + 1),
        "lacking": lacking,
    }


def says_all(text: str, words: Sequence[str]) -> bool:
    """Whether each word stands in a text by itself."""
    return set(words) <= set(re.findall(r"\w+", text))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every number of keywords and keeps a record."""
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--phrases", type=int, nargs="+", default=[5, 10, 20], help="(default: 5 10 20)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="texts at once (default: 1 8)")
    parser.add_argument("--length", type=int, default=64, help="positions (default: 64)")
    parser.add_argument("--steps", type=int, default=16, help="(default: 16)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    options = parser.parse_args(arguments)
    watch, pipe = Stopwatch(), load_pipeline(options)
    first, *sets = keywords(held_out_texts(options), [5, *options.phrases], options.seed)
    once = compiled(pipe, first, options.length)
    print(f"first rule of the process, {len(first)} words: {once:.2f} s", flush=True)
    lines, goals, figures = [], [], []
    for words in sets:
        seconds = compiled(pipe, words, options.length)
        goals.append(verdict(f"{len(words)} keywords, compile time in seconds", seconds, "≤", 1.0, ".2f"))
        for batch in options.batches:
            own = rounds_of(pipe, words, batch, options.steps, options.length, options.rounds, options.seed)
            figures.append({"phrases": len(words), "batch": batch, "compile_seconds": seconds, **own})
            low, high = own["quartiles"]
            time_ratio = f"{own['ratio']:.2f} ({low:.2f} to {high:.2f})"
            lines.append(
                [len(words), batch, f"{seconds:.2f}", time_ratio, f"{own['texts'] - own['lacking']} of {own['texts']}"]
            )
            print(lines[-1], flush=True)
            goals.append(
                verdict(f"{len(words)} keywords, batch {batch}, time ÷ without", own["ratio"], "≤", 1.5, ".2f")
            )
    text = table(("keywords", "batch", "compile, s", "time ÷ without (quartiles)", "texts with all"), lines)
    print(text, "", *goals, sep="\n")
    settings = {**checkpoint_facts(options.model), "steps": options.steps, "length": options.length, "first": once}
    folder = options.out / "keywords"
    write_json(folder / "table.json", watch.record("keywords", settings, figures, options.device) | {"goals": goals})
    write_text(folder / "table.md", "\n".join([text, "", *goals]) + "\n")


if __name__ == "__main__":
    main()
