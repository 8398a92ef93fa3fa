"""`Switches`: how a token network was trained, in four settings that any family of models is described by."""

from __future__ import annotations

import re
from dataclasses import dataclass

CORRUPTIONS = ("mask", "uniform", "gaussian")
TIMES = ("none", "sigma", "gamma")
_BLOCKS = re.compile(r"blocks:(\d+)")


@dataclass(frozen=True)
class Switches:
    """Four settings that say how a network reads and writes.

    Args:
        corruption: how text was made noisy: "mask" hides tokens, "uniform" replaces them by any, "gaussian" adds noise to
            their embeddings.
        shift: 0 if the logits at a position are of its own token, 1 if they are of the next one (networks that were causal
            once, such as Dream).
        attention: "full"; "blocks:n" for blocks of n positions that see themselves and all before them; "canvas" for a
            causal prompt before a canvas that sees everything.
        time: what the network is told of the noise: "none", "sigma" (= softplus(gamma), minus the logarithm of the share of
            clean tokens) or "gamma".

    Raises:
        ValueError: if a setting is none of these.

    Example:
        >>> Switches(attention="blocks:32").block
        32
    """

    corruption: str = "mask"
    shift: int = 0
    attention: str = "full"
    time: str = "none"

    def __post_init__(self) -> None:
        if self.corruption not in CORRUPTIONS:
            raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}; got {self.corruption!r}.")
        if isinstance(self.shift, bool) or self.shift not in (0, 1):
            raise ValueError(f"shift must be 0 (logits of the own token) or 1 (of the next one), got {self.shift!r}.")
        if self.time not in TIMES:
            raise ValueError(f"time must be one of {', '.join(TIMES)}; got {self.time!r}.")
        known = isinstance(self.attention, str) and (self.attention in ("full", "canvas") or self.block)
        if not known:
            raise ValueError(
                f"attention must be 'full', 'canvas', or 'blocks:n' with a number of positions; got {self.attention!r}."
            )

    @property
    def block(self) -> int | None:
        """Positions of a block, None without blocks."""
        found = _BLOCKS.fullmatch(str(self.attention))
        return int(found[1]) or None if found else None
