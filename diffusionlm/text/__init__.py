"""Tokenizers, vocabulary, corpora: text in, ids out, and back."""

from diffusionlm.text.tokenizer import TextTokenizer
from diffusionlm.text.vocabulary import Vocabulary

__all__ = ["TextTokenizer", "Vocabulary"]
