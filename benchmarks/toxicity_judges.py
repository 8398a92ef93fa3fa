"""Judges of toxicity that are not the guide: alt-profanity-check, and a linear classifier trained on other data.

alt-profanity-check (a linear SVM, calibrated) pins one version of scikit-learn, so it may live in an environment of its own:

    python -m venv outputs/judges && outputs/judges/bin/pip install alt-profanity-check
"""

from __future__ import annotations

import importlib.util
import json
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

PROFANITY_PYTHON = Path("outputs/judges/bin/python")
_PROGRAM = (
    "import json, sys; from profanity_check import predict_prob; "
    "json.dump([float(p) for p in predict_prob(json.load(sys.stdin))], sys.stdout)"
)


class ProfanityCheck:
    """alt-profanity-check: the probability that a text is profane or offensive.

    Args:
        python: an interpreter that has it; None takes this one, or `PROFANITY_PYTHON`.

    Raises:
        FileNotFoundError: if there is none.
    """

    title = "alt-profanity-check"

    def __init__(self, python: Path | None = None) -> None:
        here = importlib.util.find_spec("profanity_check") is not None
        self.python = python or (Path(sys.executable) if here else PROFANITY_PYTHON)
        if not self.python.is_file():
            raise FileNotFoundError(
                f"The judge needs an interpreter with alt-profanity-check, and there is no {self.python}. Make one with: "
                "python -m venv outputs/judges && outputs/judges/bin/pip install alt-profanity-check; or give --profanity "
                "PYTHON."
            )

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (texts,)."""
        done = subprocess.run(
            [str(self.python), "-c", _PROGRAM],
            input=json.dumps(list(texts)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"alt-profanity-check in {self.python} failed: {done.stderr.strip()[-300:]}")
        return np.array(json.loads(done.stdout))


class LinearJudge:
    """Logistic regression on hashed words, pairs of words and runs of letters.

    Args:
        weights: (buckets + 1,), the last is the bias.
        accuracy: on held-out texts.
    """

    title = "linear, ParaDetox and Civil Comments"
    buckets = 2**18

    def __init__(self, weights: Tensor, accuracy: float) -> None:
        self.weights, self.accuracy = weights, accuracy

    @classmethod
    def features(cls, text: str) -> list[int]:
        """Buckets of words, of pairs of neighbours, and of runs of four letters; case and marks do not count."""
        plain = re.sub(r"\s*['’]\s*", "", text.lower())
        tokens = re.findall(r"[^\W_]+", plain)
        runs = [f"#{padded[i : i + 4]}" for word in tokens for padded in [f" {word} "] for i in range(len(padded) - 3)]
        pairs = [f"{a} {b}" for a, b in zip(["^", *tokens], [*tokens, "$"], strict=True)]
        return sorted({crc32(feature.encode()) % cls.buckets for feature in (*tokens, *pairs, *runs)})

    @classmethod
    def train(cls, pairs: Sequence[tuple[str, int]], epochs: int = 4, seed: int = 1) -> LinearJudge:
        """Adam on batches of 256, classes balanced; a twentieth is held out."""
        pairs = list(pairs)
        random.Random(seed).shuffle(pairs)
        held = pairs[: len(pairs) // 20]
        rest = pairs[len(held) :]
        features = [cls.features(text) for text, _ in rest]
        labels = torch.tensor([float(label) for _, label in rest])
        weight = (1 - labels.mean()) / labels.mean()
        table, bias = nn.EmbeddingBag(cls.buckets, 1, mode="sum"), torch.zeros(1, requires_grad=True)
        nn.init.zeros_(table.weight)
        optimizer = torch.optim.Adam([*table.parameters(), bias], 0.005)
        draw = torch.Generator().manual_seed(seed)
        for _ in range(epochs):
            for chosen in torch.randperm(len(rest), generator=draw).split(256):
                logits = table(*_bags([features[i] for i in chosen.tolist()]))[:, 0] + bias
                optimizer.zero_grad()
                F.binary_cross_entropy_with_logits(logits, labels[chosen], pos_weight=weight).backward()
                optimizer.step()
        judge = cls(torch.cat((table.weight.detach()[:, 0], bias.detach())), 0.0)
        found = judge([text for text, _ in held]) > 0.5
        truth = np.array([bool(label) for _, label in held])
        judge.accuracy = float((found[truth].mean() + 1 - found[~truth].mean()) / 2)
        return judge

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (texts,)."""
        indices, starts = _bags([self.features(text) for text in texts])
        sums = F.embedding_bag(indices, self.weights[:-1, None], starts, mode="sum")[:, 0]
        return (sums + self.weights[-1]).sigmoid().numpy()


def linear_judge(data: Path, keep: Path) -> LinearJudge:
    """The linear judge trained on a folder with paradetox.jsonl and civil_comments.jsonl, kept in a file.

    Raises:
        FileNotFoundError: if a file is missing.
    """
    if keep.is_file():
        loaded = load_file(keep)
        return LinearJudge(loaded["weights"], float(loaded["accuracy"]))
    judge = LinearJudge.train([*paradetox(data / "paradetox.jsonl"), *civil_comments(data / "civil_comments.jsonl")])
    keep.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weights": judge.weights, "accuracy": torch.tensor(judge.accuracy)}, keep)
    return judge


def paradetox(file: Path) -> list[tuple[str, int]]:
    """Toxic sentences (1) and their neutral rewrites (0) of ParaDetox (Logacheva et al. 2022)."""
    pairs = []
    for row in _rows(file):
        pairs += [(row["toxic"], 1), *((neutral, 0) for neutral in row["neutral"][:1])]
    return pairs


def civil_comments(file: Path) -> list[tuple[str, int]]:
    """Sentences of Civil Comments with a span that most annotators marked (1), and without any (0)."""
    pairs = []
    for row in _rows(file):
        marked = [(start, end) for start, end, *_ in row["spans"]]
        agreed = row["n_not_toxic"] < row["n_annotators"] / 2
        for match in re.finditer(r"[^.!?]+[.!?]*", row["text"]):
            inside = any(start < match.end() and end > match.start() for start, end in marked)
            if len(match[0].split()) >= 3 and (not inside or agreed):
                pairs.append((match[0], int(inside)))
    return pairs


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no {file}; give --toxicity-data FOLDER with paradetox.jsonl and civil_comments.jsonl."
        )
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _bags(features: Sequence[Sequence[int]]) -> tuple[Tensor, Any]:
    starts = torch.tensor([0, *(len(row) for row in features)]).cumsum(0)[:-1]
    return torch.tensor([index for row in features for index in row], dtype=torch.long), starts
