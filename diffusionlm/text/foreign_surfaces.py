"""Surfaces of the tokens of other people's tokenizers: from what a token is called to the bytes that it writes.

Three schemes, told apart by what the `tokenizers` library says of itself: byte-level BPE (GPT-2, RoBERTa, ModernBERT, Qwen),
SentencePiece (Llama, T5, Gemma: "▁" is a space, <0x0A> a byte), WordPiece (BERT), which has no spaces and gets them by a rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SCHEMES = ("byte_bpe", "sentencepiece", "wordpiece")
CLOSING = frozenset(".,!?;:)]}%…”’»'")
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_BRACKETED = re.compile(r"\[[A-Za-z]+\d*\]|<unused\d+>")  # [unused12] of BERT: no text is written so
_SPACE = "▁"


def scheme_of(backend: Tokenizer) -> str:
    """Of `SCHEMES`.

    Raises:
        ValueError: for another kind, such as plain words.
    """
    said = json.loads(backend.to_str())
    kinds = set(_kinds({part: said.get(part) for part in ("pre_tokenizer", "decoder", "normalizer")}))
    if said["model"]["type"] == "WordPiece":
        return "wordpiece"
    if "ByteLevel" in kinds:
        return "byte_bpe"
    if "Metaspace" in kinds or _SPACE in json.dumps([said.get("normalizer"), said.get("decoder")], ensure_ascii=False):
        return "sentencepiece"
    raise ValueError(
        f"The tokenizer's model is {said['model']['type']} with {', '.join(sorted(kinds)) or 'no pre-tokenizer'}; text is put "
        "together from tokens of byte-level BPE, SentencePiece and WordPiece only."
    )


def surface_of(token: str, scheme: str) -> bytes | None:
    """UTF-8 bytes that an ordinary token writes, with its space; None for a token that writes nothing sensible.

    WordPiece: a piece opens a word and gets a leading space, unless it is marked "##" or is closing punctuation (`CLOSING`).

    Example:
        >>> surface_of("##ing", "wordpiece"), surface_of("mill", "wordpiece"), surface_of(",", "wordpiece")
        (b'ing', b' mill', b',')
    """
    if _BRACKETED.fullmatch(token):
        return None
    if scheme == "byte_bpe":
        try:
            return bytes(_TO_BYTE[char] for char in token)
        except KeyError:
            return None
    if scheme == "sentencepiece":
        byte = _BYTE.fullmatch(token)
        return bytes([int(byte[1], 16)]) if byte else token.replace(_SPACE, " ").encode()
    if token.startswith("##") and len(token) > 2:
        return token[2:].encode()
    return (token if token in CLOSING else f" {token}").encode()


def plain_spaces(backend: Tokenizer) -> Tokenizer:
    """A copy that adds no space of its own at the start of a text, so that whoever calls it decides."""
    from tokenizers import Tokenizer

    said = json.loads(backend.to_str())
    said["truncation"] = said["padding"] = None
    for part in ("pre_tokenizer", "normalizer"):
        said[part] = _without_prefix(said.get(part))
    copy: Tokenizer = Tokenizer.from_str(json.dumps(said))
    copy.encode_special_tokens = True  # a text that says "[MASK]" means the characters
    return copy


_TO_BYTE = {char: byte for byte, char in bytes_to_unicode().items()}


def _kinds(part: Any) -> Sequence[str]:
    if isinstance(part, dict):
        own = [part["type"]] if isinstance(part.get("type"), str) else []
        return [*own, *(kind for value in part.values() for kind in _kinds(value))]
    return [kind for value in part for kind in _kinds(value)] if isinstance(part, list) else []


def _without_prefix(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("type") == "Prepend":
        return None
    if part.get("type") == "Sequence":
        key = "pretokenizers" if "pretokenizers" in part else "normalizers"
        inner = [kept for item in part[key] if (kept := _without_prefix(item)) is not None]
        return {**part, key: inner}
    changed = dict(part)
    if part.get("type") == "Metaspace":
        changed["prepend_scheme"] = "never"
    if part.get("type") == "ByteLevel":
        changed["add_prefix_space"] = False
    return changed
