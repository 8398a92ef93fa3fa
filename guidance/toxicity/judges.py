"""What `Toxicity` asks: a reader of our own tokens, or one of Detoxify's classifiers through a vocabulary bridge.

A judge gives log-odds (B,) for each label, per-word scores of finished texts, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusionlm.errors import suggestion
from diffusionlm.guidance.classifiers.bridge import VocabularyBridge
from diffusionlm.guidance.classifiers.reader import CLEAN, OUTSIDE, Reader
from diffusionlm.guidance.classifiers.soft_text import SoftText, soft_text
from diffusionlm.guidance.highlight import word_places

if TYPE_CHECKING:
    from diffusionlm.guidance.state import GuidanceState
    from diffusionlm.guidance.toxicity.detoxify import Detoxify
    from diffusionlm.text import Vocabulary

MAX_KNOWN = 4096  # known texts that a judge remembers
_USUAL = ("toxicity", "toxic")


class ToxicityJudge(Protocol):
    """A judge of toxicity."""

    def energy(self, state: GuidanceState) -> Tensor:
        """-log of the probability that nothing is toxic (B,), differentiable in the posterior."""
        ...

    def read(self, ids: Sequence[int], text: str, places: Sequence[tuple[int, int]]) -> tuple[float, list[float]]:
        """Probability that a finished text is toxic, and how toxic each of its tokens is, in [0, 1].

        Args:
            ids: its tokens.
            text: decoded.
            places: first and last character of each token.
        """
        ...


def chosen_labels(known: Sequence[str], wanted: str | Sequence[str] | None, what: str) -> list[int]:
    """Numbers of the labels to lower: those wanted; else the label of toxicity as such; else all.

    Raises:
        ValueError: if a label is unknown.
    """
    if wanted is None:
        usual = [i for i, name in enumerate(known) if name in _USUAL]
        return usual or list(range(len(known)))
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in known:
            raise ValueError(f"{what} has no label {name!r}; {suggestion(name, known)}")
    return [known.index(name) for name in names]


class ReaderJudge:
    """A `Reader` as judge: the text's log-odds, and with "O" among its token labels the words' own.

    Text and words are independent reasons, p = 1 - (1 - p_text) prod_i (1 - p_i)^focus over span positions i, and of the
    text only what the spans add counts: 1 - p_text is divided by that of the known text alone, up to 1.

    Args:
        reader: trained on this vocabulary.
        vocabulary: of the model.
        labels: which of the reader's text labels count.
        focus: weight of the words.

    Raises:
        ValueError: if the reader reads another vocabulary, or a label is unknown.
    """

    def __init__(
        self, reader: Reader, vocabulary: Vocabulary, labels: str | Sequence[str] | None, focus: float
    ) -> None:
        reader.check_vocabulary(vocabulary)
        self.reader, self.vocabulary, self.focus = reader, vocabulary, focus
        self.labels = chosen_labels(reader.config.sequence_labels, labels, "The reader")
        tags = reader.config.token_labels
        self.outside = tags.index(OUTSIDE) if OUTSIDE in tags else None
        if not self.labels and self.outside is None:
            raise ValueError(
                "The reader has neither labels of texts nor 'O' among its token labels: it judges nothing."
            )

    def energy(self, state: GuidanceState) -> Tensor:
        """See `ToxicityJudge`."""
        if self.reader.device != state.device:
            torch.nn.Module.to(self.reader, state.device)
        text = soft_text(state)
        gamma = CLEAN if state.step >= state.num_steps else state.gamma
        out = self.reader(text, gamma)
        energy = text.probs.new_zeros(len(text), dtype=torch.float32)
        if out.sequence_logits is not None:
            whole = F.softplus(out.sequence_logits[:, self.labels]).sum(-1)
            energy = energy + F.relu(whole - self._known_alone(text))
        if self.outside is not None and self.focus:
            innocent = out.token_logits.log_softmax(-1)[..., self.outside]
            energy = energy - self.focus * (innocent * text.is_span).sum(-1)
        return energy

    @torch.no_grad()
    def _known_alone(self, text: SoftText) -> Tensor:
        """The text's part of the energy (B,) if the spans stayed empty; zero for rows without known text."""
        known = text.mask & ~text.is_span
        length = int((known * torch.arange(1, known.shape[1] + 1, device=known.device)).amax())
        if not length:
            return text.probs.new_zeros(len(text), dtype=torch.float32)
        empty = text.ids[:, :length].masked_fill(~known[:, :length], self.vocabulary.pad_id)
        logits = self.reader(SoftText.known(empty, self.vocabulary), CLEAN).sequence_logits[:, self.labels]
        return F.softplus(logits).sum(-1) * known.any(1)

    @torch.no_grad()
    def read(self, ids: Sequence[int], text: str, places: Sequence[tuple[int, int]]) -> tuple[float, list[float]]:
        """See `ToxicityJudge`; by the token labels, or without them by leaving each token out."""
        device = self.reader.device
        known = torch.tensor([list(ids)], device=device)
        out = self.reader(SoftText.known(known, self.vocabulary), CLEAN)
        score = 0.0
        if out.sequence_logits is not None:
            score = float(-torch.expm1(-F.softplus(out.sequence_logits[0, self.labels]).sum()))
        if self.outside is not None:
            words = 1 - out.token_logits[0].softmax(-1)[:, self.outside]
            return max(score, float(words.amax())) if not self.labels else score, words.tolist()
        rows = known.repeat(len(ids), 1)
        rows.fill_diagonal_(self.vocabulary.pad_id)
        left = self.reader(SoftText.known(rows, self.vocabulary), CLEAN).sequence_logits[:, self.labels]
        without = -torch.expm1(-F.softplus(left).sum(-1))
        return score, (score - without).clamp(0, 1).tolist()


class DetoxifyJudge:
    """One of Detoxify's classifiers, which reads the soft text through a `VocabularyBridge`; what the spans add counts.

    Args:
        model: the classifier.
        vocabulary: of our model.
        labels: which of its classes count; "toxicity" if None.

    Raises:
        ValueError: if a label is unknown.
    """

    def __init__(self, model: Detoxify, vocabulary: Vocabulary, labels: str | Sequence[str] | None) -> None:
        self.model = model
        self.labels = chosen_labels(model.classes, labels, "Detoxify's classifier")
        config = model.network.config
        longest = getattr(config, "max_position_embeddings", None)
        if longest is not None and "roberta" in config.model_type:
            longest -= 2  # its positions begin behind the padding index
        embedding = model.network.get_input_embeddings().weight
        self.bridge = VocabularyBridge(vocabulary, model.tokenizer, embedding, longest)
        self._alone: dict[str, float] = {}  # of known texts, each asked for once

    def energy(self, state: GuidanceState) -> Tensor:
        """See `ToxicityJudge`."""
        if self.model.network.device != state.device:
            self.model.network.to(state.device)
        if self.bridge.embedding.device != state.device:
            self.bridge.to(state.device)
        logits = self.model.network(**self.bridge(state).to_model()).logits.float()
        return F.relu(F.softplus(logits[:, self.labels]).sum(-1) - self._known_alone(state))

    def _known_alone(self, state: GuidanceState) -> Tensor:
        """The energy (B,) of the known text by itself; zero where there is none."""
        texts = [" ".join("".join(layout.canvas.literals).split()) for layout in state.layouts]
        new = [text for text in dict.fromkeys(texts) if text and text not in self._alone]
        if len(self._alone) + len(new) > MAX_KNOWN:
            self._alone.clear()
            new = [text for text in dict.fromkeys(texts) if text]
        for i in range(0, len(new), 16):
            scores = self.model.scores(new[i : i + 16])[:, self.labels].double()
            self._alone |= dict(zip(new[i : i + 16], (-torch.log1p(-scores)).sum(-1).tolist(), strict=True))
        return torch.tensor([self._alone[text] if text else 0.0 for text in texts], device=state.device)

    @torch.no_grad()
    def read(self, ids: Sequence[int], text: str, places: Sequence[tuple[int, int]]) -> tuple[float, list[float]]:
        """See `ToxicityJudge`; by leaving each word out."""
        words = word_places(text)
        texts = [text] + [text[:first] + text[last:] for first, last in words]
        p = torch.cat([self.model.scores(texts[i : i + 16]) for i in range(0, len(texts), 16)])[:, self.labels]
        p = 1 - (1 - p).prod(-1)
        drop = (p[0] - p[1:]).clamp(0, 1).tolist()
        of_word = {k: value for (first, last), value in zip(words, drop, strict=True) for k in range(first, last)}
        return float(p[0]), [max((of_word.get(k, 0.0) for k in range(*place)), default=0.0) for place in places]
