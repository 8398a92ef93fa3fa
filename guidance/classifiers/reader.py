"""`Reader`: a small network that reads soft texts of our vocabulary and says what holds of the text and of its tokens.

Trained on the token posteriors of all noise levels (see ``diffusionlm train-classifier``), it knows how much to believe of
a posterior at noise level gamma. Shape letters: B rows, N positions, V vocabulary, H width, S and T labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

if TYPE_CHECKING:
    from diffusionlm.guidance.classifiers.soft_text import SoftText
    from diffusionlm.text import Vocabulary

OUTSIDE = "O"  # the token label of what no span covers
CLEAN = -8.0  # noise level of a finished text


class ReaderConfig(PreTrainedConfig):
    """Configuration of `Reader`.

    Args:
        vocab_size: V.
        vocabulary_fingerprint: of the vocabulary it was trained on; "" fits any of that size.
        sequence_labels: what may hold of a whole text, each by itself (S of them; none of them excludes another).
        token_labels: what a token may be, one of these (T of them); "O" is what no span covers.
        hidden_size: H.
        num_hidden_layers: blocks of attention and feed-forward.
        num_attention_heads: heads; must divide ``hidden_size`` into even parts.
        intermediate_size: width of the feed-forward; twice ``hidden_size`` if None.
        dropout: in training.
        pad_token_id: id of the pad token.
        card: what it was trained on and how well it reads, for people.

    Raises:
        ValueError: if a value is out of range.
    """

    model_type = "diffusionlm_reader"

    def __init__(
        self,
        vocab_size: int = 1024,
        vocabulary_fingerprint: str = "",
        sequence_labels: list[str] | None = None,
        token_labels: list[str] | None = None,
        hidden_size: int = 128,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        intermediate_size: int | None = None,
        dropout: float = 0.1,
        pad_token_id: int = 0,
        card: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if hidden_size % num_attention_heads or (hidden_size // num_attention_heads) % 2:
            raise ValueError(
                f"hidden_size ({hidden_size}) must be an even multiple of num_attention_heads ({num_attention_heads})."
            )
        if num_hidden_layers < 1 or not 0 <= dropout < 1:
            raise ValueError(
                f"A reader needs at least one layer and a dropout in [0, 1), got {num_hidden_layers} and {dropout}."
            )
        self.vocab_size = vocab_size
        self.vocabulary_fingerprint = vocabulary_fingerprint
        self.sequence_labels = list(sequence_labels or [])
        self.token_labels = list(token_labels or [])
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size or 2 * hidden_size
        self.dropout = dropout
        self.card = dict(card or {})
        super().__init__(**{"pad_token_id": pad_token_id, "tie_word_embeddings": False, **kwargs})


@dataclass
class ReaderOutput(ModelOutput):
    """What a reader says.

    Attributes:
        sequence_logits: (B, S) log-odds of each label of the text; None without such labels.
        token_logits: (B, N, T), their softmax is the distribution over token labels; None without such labels.
        hidden: (B, N, H).
    """

    sequence_logits: Tensor | None = None
    token_logits: Tensor | None = None
    hidden: Tensor | None = None


class Reader(PreTrainedModel):
    """A small bidirectional transformer over soft embeddings; see `ReaderConfig`.

    Saved and loaded as any transformers model (safetensors); check a loaded one with `check_vocabulary`.
    """

    config_class = ReaderConfig
    base_model_prefix = "reader"
    main_input_name = "text"
    all_tied_weights_keys: Any = {}

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.table = nn.Parameter(torch.empty(config.vocab_size, width))
        self.noise_level = nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(width)
        self.pool = _Pool(width, len(config.sequence_labels)) if config.sequence_labels else None
        self.token_head = nn.Linear(width, len(config.token_labels)) if config.token_labels else None
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Linear maps by 1/sqrt(fan in), the table by 1/sqrt(H), biases zero."""
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, _Pool):
            init.normal_(module.query, mean=0.0, std=module.query.shape[1] ** -0.5)
            init.normal_(module.value, mean=0.0, std=module.value.shape[1] ** -0.5)
            init.zeros_(module.bias)
        elif isinstance(module, Reader):
            init.normal_(module.table, mean=0.0, std=1.0)

    def check_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Makes sure that it reads tokens of this vocabulary.

        Raises:
            ValueError: if it was trained on another.
        """
        config = self.config
        same = config.vocabulary_fingerprint in ("", vocabulary.of_the_model)
        if config.vocab_size != len(vocabulary) or not same:
            raise ValueError(
                f"This reader was trained on a vocabulary of {config.vocab_size} tokens with the fingerprint "
                f"{config.vocabulary_fingerprint[:12] or 'any'}, the model's has {len(vocabulary)} and "
                f"{vocabulary.of_the_model[:12]}: they do not belong together. Train one for the model with "
                "'diffusionlm train-classifier checkpoint=... data.train=...'."
            )

    def encode(self, embeds: Tensor, mask: Tensor, gamma: Tensor | float) -> Tensor:
        """Contextual states of soft embeddings.

        Args:
            embeds: (B, N, H), `SoftText.embed` of ``table``.
            mask: (B, N) bool, positions in use.
            gamma: noise level (B,) or a number.

        Returns:
            (B, N, H).
        """
        gamma = torch.as_tensor(gamma, dtype=embeds.dtype, device=embeds.device).expand(len(embeds))
        hidden = embeds + self.noise_level(_waves(gamma))[:, None]
        rotation = _rotation(embeds.shape[1], self.config.hidden_size // self.config.num_attention_heads, embeds)
        keys = mask | ~mask.any(1, keepdim=True)  # a row without any text must still have a key
        for block in self.blocks:
            hidden = block(hidden, keys[:, None, None], rotation)
        return self.norm(hidden)

    def forward(self, text: SoftText, gamma: Tensor | float) -> ReaderOutput:
        """Reads soft texts.

        Args:
            text: from `soft_text`.
            gamma: noise level (B,) or a number; very low (-8) for finished text.
        """
        hidden = self.encode(text.embed(self.table), text.mask, gamma)
        return ReaderOutput(
            None if self.pool is None else self.pool(hidden, text.mask),
            None if self.token_head is None else self.token_head(hidden),
            hidden,
        )


class _Block(nn.Module):
    """Attention with rotary positions, then a feed-forward; both behind a norm."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.dropout
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, config.intermediate_size), nn.Linear(config.intermediate_size, width)

    def forward(self, hidden: Tensor, keys: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, width = hidden.shape
        qkv = self.qkv(self.attention_norm(hidden)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(_turn(q, rotation), _turn(k, rotation), v, keys)
        hidden = hidden + self._drop(self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return hidden + self._drop(self.down(F.gelu(self.up(self.feed_norm(hidden)))))

    def _drop(self, value: Tensor) -> Tensor:
        return F.dropout(value, self.dropout, self.training)


class _Pool(nn.Module):
    """Log-odds of each label from the positions that matter to it: attention with one learned query a label."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(labels, width))
        self.value = nn.Parameter(torch.empty(labels, width))
        self.bias = nn.Parameter(torch.empty(labels))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        scores = (hidden @ self.query.T).masked_fill(~(mask | ~mask.any(1, keepdim=True))[..., None], -torch.inf)
        return (scores.softmax(1) * (hidden @ self.value.T)).sum(1) + self.bias


def _waves(gamma: Tensor) -> Tensor:
    """(B,) -> (B, 16): sines and cosines with periods from 4 to 64 nats of gamma."""
    rates = 2 * math.pi / torch.logspace(math.log2(4.0), 6.0, 8, base=2.0, dtype=gamma.dtype, device=gamma.device)
    angles = gamma[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


def _rotation(length: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin (N, size / 2) of rotary positions (Su et al. 2021, "RoFormer"), base 10,000."""
    rates = 10000.0 ** (-torch.arange(0, size, 2, dtype=like.dtype, device=like.device) / size)
    angles = torch.arange(length, dtype=like.dtype, device=like.device)[:, None] * rates
    return angles.cos(), angles.sin()


def _turn(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotation
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
