"""`TokenModel`: other people's networks over tokens behind the contract of `DiffusionModel`.

Shape letters: B rows, L span positions, N positions of the network, V vocabulary, D embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.denoiser.temperature import sharpen
from diffusionlm.diffusion import Draws, NoisyText, NoisyTokens, Posterior
from diffusionlm.families.sheet import Frame, Sheet, ended, lay_sheet
from diffusionlm.families.switches import Switches

if TYPE_CHECKING:
    from diffusionlm.denoiser.contract import Context, Places
    from diffusionlm.families.networks import TokenNetwork

LARGEST_TABLE = 2**28  # numbers in a table of embeddings beyond which none is offered: 1 GiB in float32
FORBIDDEN = -torch.inf


class TokenModel:
    """A network that reads tokens, some of them hidden or wrong, and says which ones belong there.

    Args:
        network: the network.
        switches: how it was trained.
        vocab_size: V, rows of its output.
        max_length: positions that the network takes.
        mask_id: the token of a hidden position; needed for the corruption "mask".
        end_ids: tokens after which a text is over. The first stands for all of them on our canvas; the probabilities of the
            others are added to its own. Empty where the model knows no end.
        pad_id: what pad is on our canvas; never written where ``end_ids`` is empty.
        special_ids: tokens that are never written.
        frame: what stands around a text.
        references: the publications behind it.

    Raises:
        ValueError: if the mask token is missing, or the corruption is Gaussian.
    """

    offers = frozenset({"probs", "text", "unconditional"})

    def __init__(
        self,
        network: TokenNetwork,
        switches: Switches,
        *,
        vocab_size: int,
        max_length: int,
        mask_id: int | None = None,
        end_ids: Sequence[int] = (),
        pad_id: int = 0,
        special_ids: Sequence[int] = (),
        frame: Frame | None = None,
        references: Sequence[str] = (),
    ) -> None:
        if switches.corruption == "gaussian":
            raise ValueError(
                "A network over tokens has no Gaussian corruption; LangFlow's is loaded by its own family."
            )
        if switches.corruption == "mask" and mask_id is None:
            raise ValueError(
                "The model hides tokens behind a mask token, and its tokenizer names none; give it with mask_token='<|mask|>' "
                "or its id."
            )
        self.network, self.switches = network, switches
        self.process = {"mask": "masked", "uniform": "uniform"}[switches.corruption]
        self.vocab_size, self.mask_id, self.pad_id = vocab_size, mask_id, pad_id
        self.end_ids = tuple(end_ids)
        self.frame = Frame() if frame is None else frame
        self.references = tuple(references)
        self._longest = max_length
        self._barred = sorted(set(special_ids) - {pad_id} if self.end_ids else {*special_ids, pad_id})
        self._embeddings: Tensor | None = None
        if network.table().numel() <= LARGEST_TABLE:
            self.offers = self.offers | {"clean"}

    @property
    def max_length(self) -> int:
        """Positions of the longest text, those around it taken off."""
        return self._longest - len(self.frame.prefix) - len(self.frame.suffix)

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.network.table().device

    def embeddings(self) -> Tensor | None:
        """Input embeddings (V, D) float32, each scaled to length sqrt(D); None beyond `LARGEST_TABLE`."""
        if "clean" not in self.offers:
            return None
        table = self.network.table()
        if self._embeddings is None or self._embeddings.device != table.device:
            with torch.no_grad():
                unit = F.normalize(table.float(), dim=-1) * table.shape[1] ** 0.5
                self._embeddings = F.pad(unit, (0, 0, 0, max(self.vocab_size - len(unit), 0)))[: self.vocab_size]
        return self._embeddings

    def start(self, places: Places, draws: Draws) -> NoisyTokens:
        """Everything hidden, or random tokens everywhere."""
        if self.process == "masked":
            ids = torch.full_like(places.positions, self.pad_id)
        else:
            ids = self._random(draws)
        return NoisyTokens(ids, places.span_mask, places.span_mask)

    def corrupt(self, ids: Tensor, mask: Tensor, gamma: Tensor, draws: Draws) -> NoisyTokens:
        """See `DiffusionModel`."""
        hit = mask & (draws.uniform() < torch.sigmoid(gamma.double())[:, None])
        if self.process == "masked":
            return NoisyTokens(ids, hit, mask)
        return NoisyTokens(torch.where(hit, self._random(draws), ids), mask, mask)

    def condition(self, context: Context, places: Places) -> Sheet:
        """Known text laid out in rows as the network reads them; see `lay_sheet`."""
        return lay_sheet(context, places, self.frame, self._longest)

    def log_posterior(
        self,
        noisy: NoisyText,
        gamma: Tensor,
        condition: Sheet,
        places: Places,
        previous: Posterior | None,
        temperature: float = 1.0,
    ) -> Tensor:
        """See `DiffusionModel`. Behind a decided end token of an open span only that token follows."""
        assert isinstance(noisy, NoisyTokens)
        del previous
        tokens = noisy.ids
        if self.process == "masked":
            assert self.mask_id is not None
            tokens = tokens.masked_fill(noisy.undecided, self.mask_id)
        ids = condition.written(tokens, places.span_mask)
        at = (condition.at - self.switches.shift).clamp_min(0)
        with torch.no_grad():
            out = self.network.logits(ids, condition, at, gamma, self.switches)
        logits = self._to_vocabulary(out.float())
        if self.end_ids:
            logits = sharpen(logits, logits.new_zeros(()), temperature, self.pad_id)
            if self.process == "masked":
                over = ended(noisy.ids, noisy.used & ~noisy.undecided, places, self.pad_id)
                if bool(over.any()):
                    logits[over] = FORBIDDEN
                    logits[..., self.pad_id].masked_fill_(over, 0.0)
            return logits
        logits = logits / temperature
        logits[..., self.pad_id].masked_fill_(~places.span_mask, 0.0)  # behind the canvas of a shorter row
        return logits

    def _to_vocabulary(self, logits: Tensor) -> Tensor:
        """Logits with one token for every way to end, and without special tokens."""
        if logits.shape[-1] < self.vocab_size:
            logits = F.pad(logits, (0, self.vocab_size - logits.shape[-1]), value=FORBIDDEN)
        logits = logits[..., : self.vocab_size].clone()
        if len(self.end_ids) > 1:
            logits[..., self.pad_id] = logits[..., list(self.end_ids)].logsumexp(-1)
        logits[..., self._barred] = FORBIDDEN
        return logits

    def _random(self, draws: Draws) -> Tensor:
        return (draws.uniform() * self.vocab_size).long().clamp_max(self.vocab_size - 1)
