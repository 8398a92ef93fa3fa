"""`DigitRuns`: numbers and addresses become unlikely before they are begun, with all that they are made of."""

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
LIKELY = 0.4  # expected number of signs of an address in reach from which on one is being planned
STEEP = 10.0  # how sharply planned and not planned are told apart
_IN_NUMBERS = frozenset("-+()_/#=*~")
_IN_ADDRESSES = tuple("._@:!?,;")


@register("digit-runs")
class DigitRuns(Guidance):
    """Lowers the probability of what long numbers and addresses are made of, where the model is planning one.

    An exact rule forbids a number when it is there; a text that has begun one then ends it in nonsense. Made unlikely while
    there is noise, it is not begun, and the model says something else. How much of one is planned around position i is

        a_i = sum_{|j - i| <= reach} n_j / few + s_j / 0.4,

    with n_j the expected number of digits and dashes at span position j, and s_j that of signs of an address, such as @, and of
    marks with letters right behind them, as in "!com". With d_j the probability of a token that such data consist of (digits,
    signs, pieces of words) the energy is sum_i sigmoid(10 (a_i - 1)) d_i + s_i: next to nothing for a price or a year. It
    guarantees nothing; rules that always hold are those of `PII`, which brings this one along.

    Args:
        few: digits and dashes that may stand together; infinity leaves numbers out.
        reach: positions to each side that are together.
        signs: texts whose tokens are made unlikely wherever they stand; [] for none, and for no addresses.

    Raises:
        ValueError: if few is not positive, or reach no whole number of at least 0.

    Example:
        >>> DigitRuns(few=4, signs=["@"]).reach
        6
    """

    reference = "Dathathri et al. 2020, Plug and play language models"

    few: float = 8.0  # £20-25, 10:30 and 2019 pass
    reach: int = 6
    signs: Sequence[str] = SIGNS

    weight: float = 8.0
    budget: float | None = 40.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.few > 0:
            raise ValueError(f"few of DigitRuns must be a number above 0, got {self.few!r}.")
        if isinstance(self.reach, bool) or not isinstance(self.reach, int) or self.reach < 0:
            raise ValueError(f"reach of DigitRuns must be a whole number of at least 0, got {self.reach!r}.")
        if isinstance(self.signs, str):
            raise ValueError(f"signs of DigitRuns must be a list of texts; write signs=[{self.signs!r}].")

    def bind(self, vocabulary: Vocabulary) -> None:
        """Sorts the tokens into `classes` (V, 5): length in a number; 1 for a sign, material, a mark, letters joined to it."""
        whole = vocabulary.token_share == 1  # where tokens are bytes a letter within a word tells nothing
        classes = torch.zeros(len(vocabulary), 5)
        for i, (text, opens) in enumerate(zip(vocabulary.strings, vocabulary.starts_with_space.tolist(), strict=True)):
            shown = text.strip()
            if i in vocabulary.special_ids or not shown:
                continue
            digits, letters = any(c.isdigit() for c in shown), any(c.isalpha() for c in shown)
            number = not letters and (digits or _IN_NUMBERS.issuperset(shown))
            sign = any(own in shown for own in self.signs)
            piece = letters and not opens
            classes[i] = torch.tensor(
                [
                    number * len(shown),
                    sign,
                    number or sign or digits or (piece and whole),
                    bool(self.signs) and shown.endswith(_IN_ADDRESSES),
                    piece and len(shown) > 1 and shown[:2].isalpha(),
                ]
            )
        self.classes = classes

    def energy(self, state: GuidanceState) -> Tensor:
        """Tokens of numbers and addresses where such are planned, and signs (B,)."""
        number, sign, material, mark, letters = (state.probs @ self.classes.to(state.probs)).unbind(-1)
        sign = sign + F.pad(mark[:, :-1] * letters[:, 1:], (0, 1))
        planned = number / self.few + sign / LIKELY
        width = 2 * self.reach + 1
        around = F.avg_pool1d(planned[:, None], width, stride=1, padding=self.reach)[:, 0] * width
        return (torch.sigmoid(STEEP * (around - 1)) * material + sign).sum(-1)
