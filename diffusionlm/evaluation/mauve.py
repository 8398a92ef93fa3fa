"""MAUVE: how close two sets of texts are as wholes, from how a language model encodes them.

Pillutla et al. 2021, "MAUVE: Measuring the gap between neural text and human text using divergence frontiers"
(https://arxiv.org/abs/2102.01454). Both sets are put into the same clusters; the two histograms P and Q are compared with
their mixtures R, and the area under the curve of (exp(-c KL(Q|R)), exp(-c KL(P|R))) is 1 where they are equal.

The published figures encode with GPT-2 large and thousands of texts. Here the encoder is whatever judge is at hand, so
figures compare with each other and not with those; with few texts even two sets of real text stay below 1.
"""

from __future__ import annotations

import numpy as np

KEPT_VARIANCE = 0.9
RESTARTS = 5
MIXTURES = 200


def mauve(
    ours: np.ndarray, theirs: np.ndarray, clusters: int | None = None, scale: float = 5.0, seed: int = 0, seeds: int = 5
) -> float:
    """MAUVE of two sets of features, in (0, 1]; the mean over `seeds` clusterings.

    Args:
        ours: (N, D), one row a text.
        theirs: (M, D).
        clusters: by default a tenth of the smaller set, at least 2 (section 4 of the paper).
        scale: c of the paper.
        seed: of the first clustering.
        seeds: clusterings.

    Raises:
        ValueError: features that are no matrices of one width with two rows or more, or fewer than two clusters.
    """
    if ours.ndim != 2 or theirs.ndim != 2 or ours.shape[1] != theirs.shape[1] or min(len(ours), len(theirs)) < 2:
        raise ValueError(
            "MAUVE compares two matrices of features, two texts or more each and of one width; got shapes "
            f"{ours.shape} and {theirs.shape}."
        )
    count = max(2, round(min(len(ours), len(theirs)) / 10)) if clusters is None else clusters
    if not 2 <= count <= len(ours) + len(theirs):
        raise ValueError(f"MAUVE needs from 2 clusters to one for each text, got {count}.")
    points = _reduced(np.concatenate([ours, theirs]).astype(np.float64))
    found = []
    for i in range(seeds):
        labels = cluster(points, count, seed + i)
        p = np.bincount(labels[: len(ours)], minlength=count) / len(ours)
        q = np.bincount(labels[len(ours) :], minlength=count) / len(theirs)
        found.append(frontier_area(p, q, scale))
    return float(np.mean(found))


def frontier_area(p: np.ndarray, q: np.ndarray, scale: float = 5.0) -> float:
    """Area under the divergence curve of two histograms (K,), in (0, 1] (eq. 1 of the paper)."""
    weights = np.linspace(1e-6, 1 - 1e-6, MIXTURES)[:, None]
    mixed = weights * p + (1 - weights) * q
    x, y = np.exp(-scale * _kl(q, mixed)), np.exp(-scale * _kl(p, mixed))
    # with the ends of the curve, where R is P or Q alone; x rises with the weight of Q
    x, y = np.concatenate([[0.0], x, [1.0]]), np.concatenate([[1.0], y, [0.0]])
    order = np.lexsort((-y, x))
    x, y = x[order], y[order]
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def cluster(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Labels (N,) of k-means (Lloyd 1982) begun by k-means++ (Arthur and Vassilvitskii 2007): the best of `RESTARTS`."""
    draw = np.random.default_rng(seed)
    best, least = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(RESTARTS):
        centres = _seeded(points, count, draw)
        labels = np.full(len(points), -1)
        while True:
            distances = _squares(points, centres)
            new = distances.argmin(1)
            if (new == labels).all():
                break
            labels = new
            for k in np.unique(labels):
                centres[k] = points[labels == k].mean(0)
        inertia = distances.min(1).sum()
        if inertia < least:
            best, least = labels, inertia
    return best


def _seeded(points: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    chosen = [points[draw.integers(len(points))]]
    nearest = _squares(points, np.array(chosen))[:, 0]
    while len(chosen) < count:
        total = nearest.sum()
        place = draw.choice(len(points), p=nearest / total) if total > 0 else draw.integers(len(points))
        chosen.append(points[place])
        nearest = np.minimum(nearest, _squares(points, points[place : place + 1])[:, 0])
    return np.array(chosen)


def _reduced(points: np.ndarray) -> np.ndarray:
    """Rows of length 1, on the principal axes that keep `KEPT_VARIANCE` of the variance."""
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    points = points - points.mean(0)
    left, sizes, _ = np.linalg.svd(points, full_matrices=False)
    variance = sizes**2
    if variance.sum() == 0:
        return points[:, :1]
    kept = int(np.searchsorted(np.cumsum(variance) / variance.sum(), KEPT_VARIANCE)) + 1
    return left[:, :kept] * sizes[:kept]


def _squares(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances (N, K)."""
    inner = points @ centres.T
    return np.maximum((points**2).sum(1)[:, None] - 2 * inner + (centres**2).sum(1), 0)


def _kl(p: np.ndarray, mixed: np.ndarray) -> np.ndarray:
    """KL(p | each row of mixed), nats; mixed is positive where p is."""
    present = p > 0
    return (p[present] * np.log(p[present] / mixed[:, present])).sum(1)
