"""`DigitRuns`: long runs of digits, and the signs of addresses, become unlikely while a text takes shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.guidance.guidance import Guidance
from diffusionlm.guidance.registry.plugins import register

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.text import Vocabulary

SIGNS = ("@", "www.", "://")


@register("digit-runs")
class DigitRuns(Guidance):
    """Lowers the expected number of digits that stand close together, and of signs such as @.

    An exact rule forbids a number when it is there; a text that has begun one then ends it in nonsense. Made unlikely while
    there is noise, the number is not begun, and the model says something else. With d_j the expected digits at span position
    j, the energy is sum_i softplus(sum_{|j - i| <= reach} d_j - few) / (2 reach + 1), plus the expected number of tokens with
    a sign: next to nothing for a price or a year. It guarantees nothing; rules that always hold are those of `PII`, which
    brings this one along.

    Args:
        few: digits that may stand together; infinity leaves the digits out.
        reach: positions to each side that are together.
        signs: texts whose tokens are made unlikely wherever they stand; [] for none.

    Raises:
        ValueError: if few is negative, or reach no whole number of at least 0.

    Example:
        >>> DigitRuns(few=8, signs=["@"]).reach
        3
    """

    reference = "Dathathri et al. 2020, Plug and play language models"

    few: float = 5.0  # £20-25, 10:30 and 2019 pass
    reach: int = 3
    signs: Sequence[str] = SIGNS

    weight: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.few >= 0:
            raise ValueError(f"few of DigitRuns must be a number of at least 0, got {self.few!r}.")
        if isinstance(self.reach, bool) or not isinstance(self.reach, int) or self.reach < 0:
            raise ValueError(f"reach of DigitRuns must be a whole number of at least 0, got {self.reach!r}.")
        if isinstance(self.signs, str):
            raise ValueError(f"signs of DigitRuns must be a list of texts; write signs=[{self.signs!r}].")

    def bind(self, vocabulary: Vocabulary) -> None:
        """Counts the digits and finds the signs of every token."""
        self.digits = torch.tensor([float(sum(c.isdigit() for c in text)) for text in vocabulary.strings])
        self.marked = vocabulary.where(lambda text: any(sign in text for sign in self.signs))

    def energy(self, state: GuidanceState) -> Tensor:
        """Digits beyond few in the places where they are dense, and signs (B,)."""
        digits = state.probs @ self.digits.to(state.probs)
        width = 2 * self.reach + 1
        around = F.avg_pool1d(digits[:, None], width, stride=1, padding=self.reach)[:, 0] * width
        signs = state.probs[..., self.marked.to(state.device)].sum((-1, -2))
        return F.softplus(around - self.few).sum(-1) / width + signs
