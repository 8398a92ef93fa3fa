"""Tokenised corpora on disk: ``.npy`` arrays, mapped into memory, under a key of content, tokenizer and settings."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

import numpy as np

from diffusionlm.training.corpus import TokenCorpus
from diffusionlm.training.files import atomic_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffusionlm.text import TextTokenizer
    from diffusionlm.text.corpora import TextSource

_VERSION = 1
_ARRAYS = ("ids", "offsets", "prompt_ids", "prompt_offsets")
_META = "meta.json"
_SMALL = 1 << 16  # bytes; below this a file is read, not mapped (an empty array cannot be mapped)
_logger = logging.getLogger(__name__)


def tokenizer_fingerprint(tokenizer: TextTokenizer) -> str:
    """SHA-256 of everything that decides how a text is cut."""
    return hashlib.sha256(f"{tokenizer.kind}\n{tokenizer.backend.to_str()}".encode()).hexdigest()


def load_corpus(
    sources: Sequence[TextSource],
    tokenizer: TextTokenizer,
    max_length: int,
    max_prompt_length: int,
    folder: Path | None,
) -> TokenCorpus:
    """The tokenised texts of ``sources``; each source is tokenised once and then found in ``folder``.

    Args:
        sources: at least one.
        tokenizer: cuts texts and prompts.
        max_length: longest text in tokens; longer ones are left out.
        max_prompt_length: prompts are cut to this.
        folder: of the cache; None keeps everything in memory.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a source cannot be read or holds no text of a fitting length.
        OSError: if the cache cannot be written.
    """
    print_of_tokenizer = tokenizer_fingerprint(tokenizer)
    corpora = []
    for source in sources:
        key = json.dumps([_VERSION, source.fingerprint, print_of_tokenizer, max_length, max_prompt_length])
        place = None if folder is None else folder / hashlib.sha256(key.encode()).hexdigest()[:32]
        corpus = None if place is None else _read(place)
        if corpus is None:
            corpus = TokenCorpus.from_pairs(source.pairs(), tokenizer, max_length, max_prompt_length, repr(source.path))
            if place is not None:
                _write(place, corpus)
        corpora.append(corpus)
    weights = [source.weight for source in sources if source.weight is not None]
    return TokenCorpus.mix(corpora, weights or None)


def _write(place: Path, corpus: TokenCorpus) -> None:
    with atomic_folder(place) as draft:
        for name in _ARRAYS:
            np.save(draft / f"{name}.npy", getattr(corpus, name), allow_pickle=False)
        (draft / _META).write_text(json.dumps({"texts": len(corpus), "left_out": corpus.left_out}))


def _read(place: Path) -> TokenCorpus | None:
    if not place.is_dir():
        return None
    try:
        meta = json.loads((place / _META).read_text())
        arrays = {}
        for name in _ARRAYS:
            path = place / f"{name}.npy"
            mapped = path.stat().st_size > _SMALL
            arrays[name] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False).view(np.ndarray)
        for ids, offsets in (("ids", "offsets"), ("prompt_ids", "prompt_offsets")):
            if len(arrays[offsets]) != meta["texts"] + 1 or arrays[offsets][-1] != len(arrays[ids]):
                raise ValueError(f"{ids} and {offsets} do not fit together")
        return TokenCorpus(**arrays, left_out=int(meta["left_out"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        _logger.warning("The tokenised corpus in %s is damaged (%s); it is made again.", place, error)
        return None
