"""`Media`: patches of images and sounds, text by text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Media:
    """Patches of the texts of a corpus.

    Attributes:
        patches: of each kind one array (N, C) float16 a text, or None where it has none.
    """

    patches: dict[str, list[np.ndarray | None]]

    def select(self, rows: Sequence[int] | np.ndarray) -> Media:
        """Those of some texts, in that order."""
        return Media({kind: [own[int(row)] for row in rows] for kind, own in self.patches.items()})

    def padded(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """``KIND_values`` (B, N, C) float32 and ``KIND_mask`` (B, N) of some texts, for each kind that one of them has."""
        out: dict[str, np.ndarray] = {}
        for kind, own in self.patches.items():
            found = [own[int(row)] for row in rows]
            held = [patches for patches in found if patches is not None]
            if not held:
                continue
            longest = max(map(len, held))
            values = np.zeros((len(found), longest, held[0].shape[1]), dtype=np.float32)
            mask = np.zeros((len(found), longest), dtype=bool)
            for row, patches in enumerate(found):
                if patches is not None:
                    values[row, : len(patches)], mask[row, : len(patches)] = patches, True
            out |= {f"{kind}_values": values, f"{kind}_mask": mask}
        return out


def join(parts: Sequence[tuple[Media | None, int]]) -> Media | None:
    """Media of several corpora, each with its number of texts, end to end; None where none has any."""
    kinds = dict.fromkeys(kind for media, _ in parts if media is not None for kind in media.patches)
    out: dict[str, list[np.ndarray | None]] = {kind: [] for kind in kinds}
    for media, count in parts:
        for kind, own in out.items():
            own += [None] * count if media is None else media.patches.get(kind, [None] * count)
    return Media(out) if out else None
