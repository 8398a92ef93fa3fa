"""Tokenizers, vocabulary, corpora: text in, ids out, and back; PyTorch is imported with the first of them that is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusionlm.text.tokenizer import TextTokenizer
    from diffusionlm.text.vocabulary import Vocabulary

__all__ = ["TextTokenizer", "Vocabulary"]
_HOME = {"TextTokenizer": "tokenizer", "Vocabulary": "vocabulary"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
