"""Starting from the weights of another pipeline or reader: fine-tuning, and moving a network to another vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusionlm.denoiser import SpanDenoiser
    from diffusionlm.guidance.classifiers.reader import Reader
    from diffusionlm.text import TextTokenizer


@torch.no_grad()
def warm_start(
    denoiser: SpanDenoiser, tokenizer: TextTokenizer, source: SpanDenoiser, source_tokenizer: TextTokenizer
) -> int:
    """Copies the weights of ``source`` into ``denoiser``, in place.

    Where the vocabularies differ, a token that both have keeps its row of embeddings and output weights; any other starts
    at the mean of the rows of the pieces that the source's tokenizer cuts its surface into. Encoders of images and sounds that
    the source does not have stay as they were made, and so do the vectors of kinds of memory that it has none for.

    Args:
        denoiser: the new network; its sizes but for the vocabulary must be those of the source.
        tokenizer: of the new network.
        source: where weights come from.
        source_tokenizer: of the source.

    Returns:
        How many tokens of the new vocabulary the source has too.

    Raises:
        ValueError: if the networks differ in more than the vocabulary; the message names the weights.
    """
    old, new = source.state_dict(), denoiser.state_dict()
    sizes = source.config.vocab_size, denoiser.config.vocab_size
    by_token = {name for name, value in old.items() if value.ndim and value.shape[0] == sizes[0] and _per_token(name)}
    added = {name for name in new if name.startswith("encoders.") and name not in old}
    grown = {"segments"} if old["segments"].shape[0] < new["segments"].shape[0] else set()
    free = by_token | grown
    differing = sorted(
        name
        for name in {**old, **new}
        if name not in added
        and (name not in old or name not in new or (name not in free and old[name].shape != new[name].shape))
    )
    if differing:
        shown = ", ".join(differing[:4]) + (", ..." if len(differing) > 4 else "")
        raise ValueError(
            f"init: the two networks differ in {len(differing)} weights ({shown}); give the same model=... settings as "
            "the checkpoint to start from, or init=null."
        )
    rows = pieces_of(tokenizer, source_tokenizer)
    for name, value in new.items():
        if name in grown:
            value[: len(old[name])].copy_(old[name])
        elif name not in added:
            value.copy_(_mean_rows(old[name], rows) if name in by_token else old[name])
    known = set(source_tokenizer.vocabulary.surfaces)
    return sum(surface in known for surface in tokenizer.vocabulary.surfaces)


@torch.no_grad()
def warm_start_reader(
    reader: Reader, tokenizer: TextTokenizer, source: Reader, source_tokenizer: TextTokenizer
) -> None:
    """Copies the weights of a reader into another one, in place; new tokens begin at the mean of their pieces.

    Args:
        reader: the new one.
        tokenizer: of the model that it reads.
        source: where weights come from.
        source_tokenizer: of the model that the source reads.

    Raises:
        ValueError: if labels or sizes differ; the message names them.
    """
    names = ("sequence_labels", "token_labels", "hidden_size", "num_hidden_layers", "num_attention_heads")
    pairs = [(name, getattr(source.config, name), getattr(reader.config, name)) for name in names]
    differing = [f"{name} {old}, the new one {new}" for name, old, new in pairs if old != new]
    if differing:
        raise ValueError(
            f"init: the reader to start from has {'; '.join(differing)}. Labels of texts come from data.label_field, labels of "
            "tokens from the types of spans (data.span_field, renamed by data.types): give the same ones, or init=null."
        )
    rows = pieces_of(tokenizer, source_tokenizer)
    weights = source.state_dict()
    reader.load_state_dict({**weights, "table": _mean_rows(weights["table"], rows)})


def _per_token(name: str) -> bool:
    return name.split(".")[0] in ("embeddings", "head")


def pieces_of(tokenizer: TextTokenizer, source: TextTokenizer) -> list[list[int]]:
    """For each token of ``tokenizer`` the ids of ``source`` that spell its surface: one where it has the same token."""
    same = {surface: i for i, surface in enumerate(source.vocabulary.surfaces) if surface}
    specials = set(tokenizer.vocabulary.special_ids)
    rows = []
    for i, surface in enumerate(tokenizer.vocabulary.surfaces):
        if i in specials:
            rows.append([i if i in source.vocabulary.special_ids else source.pad_id])
        elif surface in same:
            rows.append([same[surface]])
        else:
            text = surface.decode("utf-8", errors="replace")
            rows.append(source.encode(text.removeprefix(" "), continues=not text.startswith(" ")) or [source.pad_id])
    return rows


def _mean_rows(old: Tensor, rows: list[list[int]]) -> Tensor:
    return torch.stack([old[ids].float().mean(0) for ids in rows]).to(old.dtype)
