"""Images and sounds that belong to training texts: read, checked and cut into patches once, then drawn with their texts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.context.media import read_patches
from diffusionlm.denoiser.media import KINDS, MediaSettings, read_settings
from diffusionlm.training.corpus import TokenCorpus
from diffusionlm.training.media_rows import Media

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffusionlm.corpora.sources import TextSource
    from diffusionlm.text import TextTokenizer


def fields_of(data: Mapping[str, Any]) -> dict[str, str]:
    """The column of each kind that ``data.image_field`` and ``data.sound_field`` name."""
    return {kind: data[f"{kind}_field"] for kind in KINDS if data.get(f"{kind}_field")}


def check_media(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the network, with what is to be known of encoders of transformers; both ends must be asked for.

    Raises:
        ValueError: if a field has no encoder, an encoder no field, or an encoder cannot be loaded.
    """
    model, named = dict(config["model"]), fields_of(config["data"])
    for kind in KINDS:
        given = model.get(f"{kind}_encoder")
        if kind in named and given is None:
            example = "{height: 32, width: 32, channels: 3, patch: 8}" if kind == "image" else "{seconds: 1.0}"
            raise ValueError(
                f"data.{kind}_field is {named[kind]!r}, but the model reads no {kind}s; give model.{kind}_encoder={example}."
            )
        if given is None:
            continue
        if kind not in named:
            raise ValueError(f"model.{kind}_encoder has nothing to learn from; give data.{kind}_field=FIELD too.")
        settings = read_settings(kind, given)
        if settings.encoder is not None and settings.checksum is None:
            from diffusionlm.context.foreign_encoder import complete

            settings = complete(kind, settings)
        model[f"{kind}_encoder"] = settings.to_dict()
    return model


def load_media_corpus(
    sources: Sequence[TextSource],
    tokenizer: TextTokenizer,
    max_length: int,
    max_prompt_length: int,
    model: Mapping[str, Any],
) -> TokenCorpus:
    """The texts of some sources with their images and sounds; everything is read once and held in memory.

    Args:
        sources: at least one, with fields of images or sounds.
        tokenizer: cuts texts and prompts.
        max_length: longest text in tokens; longer ones are left out.
        max_prompt_length: prompts are cut to this.
        model: settings of the network, with those of the encoders.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one cannot be read or has another shape; names the text.
    """
    settings = {kind: read_settings(kind, model[f"{kind}_encoder"]) for kind in KINDS if model.get(f"{kind}_encoder")}
    return TokenCorpus.mix(
        [_one(source, tokenizer, max_length, max_prompt_length, settings) for source in sources],
        [source.weight for source in sources if source.weight is not None] or None,
    )


def _one(
    source: TextSource, tokenizer: TextTokenizer, max_length: int, most: int, settings: Mapping[str, MediaSettings]
) -> TokenCorpus:
    pairs: list[tuple[str, str]] = []
    patches: dict[str, list[np.ndarray | None]] = {kind: [] for kind in settings}
    total = 0
    for number, (prompt, text, cells) in enumerate(source.with_media(), start=1):
        total += 1
        if not 0 < len(tokenizer.encode(text)) <= max_length:
            continue
        pairs.append((prompt, text))
        for kind, own in settings.items():
            cell = cells.get(kind)
            try:
                read = None if cell is None else read_patches(kind, cell, own).astype(np.float16)
            except (ValueError, FileNotFoundError) as error:
                raise type(error)(f"{source.path!r}, text {number}: {error}") from error
            patches[kind].append(read)
    if not any(own is not None for read in patches.values() for own in read):
        raise ValueError(f"{source.path!r} has no text with {' or '.join(settings)}; check the fields.")
    corpus = TokenCorpus.from_pairs(pairs, tokenizer, max_length, most, repr(source.path))
    assert len(corpus) == len(pairs)
    return replace(corpus, media=Media(patches), left_out=total - len(pairs))
