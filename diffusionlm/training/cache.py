"""Tokenised corpora on disk: ``.npy`` arrays, mapped into memory, under a key of content, tokenizer and settings."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.training.corpus import TokenCorpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from diffusionlm.corpora.sources import TextSource
    from diffusionlm.text import TextTokenizer

_VERSION = 1
_ARRAYS = ("ids", "offsets", "prompt_ids", "prompt_offsets")
_META = "meta.json"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError)
_SMALL = 1 << 16  # bytes; below this a file is read, not mapped (an empty array cannot be mapped)
_logger = logging.getLogger(__name__)


def tokenizer_fingerprint(tokenizer: TextTokenizer) -> str:
    """SHA-256 of everything that decides how a text is cut."""
    turn = getattr(getattr(tokenizer, "source", None), "chat_template", None) or ""
    return hashlib.sha256(f"{tokenizer.kind}\n{tokenizer.backend.to_str()}{turn}".encode()).hexdigest()


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
        make = partial(_tokenise, source, tokenizer, max_length, max_prompt_length)
        corpora.append(make() if place is None else _found_or_made(place, make))
    weights = [source.weight for source in sources if source.weight is not None]
    return TokenCorpus.mix(corpora, weights or None)


def _tokenise(source: TextSource, tokenizer: TextTokenizer, max_length: int, max_prompt_length: int) -> TokenCorpus:
    return TokenCorpus.from_pairs(source.pairs(), tokenizer, max_length, max_prompt_length, repr(source.path))


def _found_or_made(place: Path, make: Callable[[], TokenCorpus]) -> TokenCorpus:
    """Runs that begin together wait for the one that tokenises; a cache that is only read needs no lock."""
    if place.is_dir():
        with suppress(*_DAMAGE):
            return read_kept(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".lock_{place.name}")):
        if place.is_dir():
            try:
                return read_kept(place)
            except _DAMAGE as error:
                _logger.warning("The tokenised corpus in %s is damaged (%s); it is made again.", place, error)
        corpus = make()
        _write(place, corpus)
    return corpus


def _write(place: Path, corpus: TokenCorpus) -> None:
    with atomic_folder(place) as draft:
        for name in _ARRAYS:
            np.save(draft / f"{name}.npy", getattr(corpus, name), allow_pickle=False)
        (draft / _META).write_text(json.dumps({"texts": len(corpus), "left_out": corpus.left_out}))


def read_kept(place: Path) -> TokenCorpus:
    """The tokenised texts of one source, as a cache keeps them in a folder of their own."""
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
