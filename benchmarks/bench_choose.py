"""`choose` on held-out fields beside autoregressive models on the same questions: accuracy, log loss, calibration.

    python -m benchmarks.bench_choose --data E2E --texts 50 --peer PEER --judge smollm2

A question is a held-out sentence (validation split) in which the value of a field is left open (`benchmarks.field_questions`).
The pipeline answers by `pipe.choose`. An autoregressive model answers by the likelihood of the whole sentence with each
option, normalised over the options: exact for it, and it reads both sides of the gap, too. PEER is a model of the domain
(`python -m benchmarks.autoregressive train`); --judge a general one, which has seen none of these sentences.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

from benchmarks.commandline import add_data, load_pipeline, make_parser
from benchmarks.field_questions import Question, judged, questions, softmax
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, write_json, write_text
from diffusionlm.evaluation.sample_sets import table

Answer = Mapping[str, float]


@torch.no_grad()
def peer_nats(peer: Any, texts: Sequence[str]) -> list[float]:
    """-log p of whole texts, their end included, under an autoregressive peer without a condition."""
    return peer.nats([([], ids) for ids in peer.tokenizer.encode_batch(list(texts))]).double().sum(1).tolist()


def judge_nats(judge: Any, texts: Sequence[str]) -> list[float]:
    """-log p of whole texts under a judge; ends do not count."""
    return [float(own) for own in judge.score(list(texts)).nats]


def by_likelihood(question: Question, nats: Callable[[Sequence[str]], Sequence[float]]) -> Answer:
    """Probabilities of the options from the likelihoods of the sentences with them."""
    return softmax(dict(zip(question.options, nats(question.filled), strict=True)))


def answers(asked: Sequence[Question], answer: Callable[[Question], Answer], name: str) -> tuple[list[Answer], float]:
    """All answers, and processor seconds a question."""
    began = time.process_time()
    found = [answer(question) for question in track(asked, name, transient=True)]
    return found, (time.process_time() - began) / len(asked)


def main(arguments: Sequence[str] | None = None) -> None:
    """Asks everyone the same questions and keeps a record."""
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--texts", type=int, default=20, help="questions about each field (default: 20)")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--peer", type=Path, help="folder written by benchmarks.autoregressive train")
    parser.add_argument("--judge", default="", help="smollm2, or folder or hub name of a causal language model")
    options = parser.parse_args(arguments)
    watch, pipe = Stopwatch(), load_pipeline(options)
    most = min(50, pipe.max_length)
    asked = questions(
        read_e2e(options.data / "valid.txt"),
        options.texts,
        options.seed,
        lambda text: len(pipe.tokenizer.encode(text)) <= most,
    )
    if not asked:
        parser.error(f"no sentence of {options.data / 'valid.txt'} says a value that is asked about")
    settings = {"draws": options.draws, "steps": options.steps, "seed": options.seed}
    models: dict[str, Callable[[Question], Answer]] = {
        f"choose, {options.model}": lambda question: pipe.choose(question.open_text, **settings).probabilities
    }
    if options.peer:
        from benchmarks.peers.autoregressive import Peer

        models["autoregressive peer"] = partial(by_likelihood, nats=partial(peer_nats, Peer.load(options.peer)))
    if options.judge:
        from diffusionlm.evaluation.judge import load_judge

        judge = load_judge(options.judge, quiet=True)
        models[options.judge] = partial(by_likelihood, nats=partial(judge_nats, judge))
    lines, figures = [], {}
    for name, answer in models.items():
        found, seconds = answers(asked, answer, name)
        figures[name] = {"seconds": seconds, "fields": judged(asked, found)}
        for field, own in figures[name]["fields"].items():
            lines.append(
                [
                    name,
                    f"{field} ({own['texts']})",
                    f"{own['accuracy']:.2f} ({own['accuracy_of_the_commonest']:.2f})",
                    f"{own['log_loss']:.2f} ({own['log_loss_of_equal_odds']:.2f})",
                    f"{own['calibration_error']:.2f}",
                    f"{seconds:.2f}",
                ]
            )
            print(lines[-1], flush=True)
    head = (
        "model",
        "field",
        "accuracy (commonest)",
        "log loss (equal odds)",
        "calibration error",
        "seconds a question",
    )
    text = table(head, lines)
    print(text)
    folder = options.out / "choose"
    given = {**checkpoint_facts(options.model), **settings, "peer": str(options.peer), "judge": options.judge}
    write_json(folder / "table.json", watch.record("choose", given, figures, options.device))
    write_text(folder / "table.md", text + "\n")


if __name__ == "__main__":
    main()
