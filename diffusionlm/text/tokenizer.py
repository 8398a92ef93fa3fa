"""`TextTokenizer`: text to ids and back, by the `tokenizers` library, so that decoding is concatenation of surfaces.

Three kinds: byte-level BPE trained from a corpus (any text is covered), words for corpora split by spaces, bytes. All
prefix a text with one space, so that a word has one token wherever it stands; decoding takes that space off again.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from diffusionlm.errors import reason_of
from diffusionlm.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAD, UNKNOWN = "<pad>", "<unk>"
KINDS = ("bpe", "word", "byte")
TOKENIZER_FILE, META_FILE = "tokenizer.json", "tokenizer_meta.json"
_WORD = Regex(r"\s?\S+|\s+")


class TextTokenizer:
    """A tokenizer whose tokens are stretches of text.

    Args:
        backend: a `tokenizers.Tokenizer`.
        kind: "bpe", "word" or "byte".

    Attributes:
        prefix_space: whether the first word of a text is spelt with a space before it.
        ends_spans: whether a span can end early.
    """

    prefix_space = True
    ends_spans = True

    def __init__(self, backend: Tokenizer, kind: str) -> None:
        if kind not in KINDS:
            raise ValueError(f"Unknown kind of tokenizer {kind!r}; allowed are {KINDS}.")
        if backend.token_to_id(PAD) is None:
            raise ValueError(f"The tokenizer has no {PAD!r} token, which ends spans.")
        backend.encode_special_tokens = True  # a text that says "<pad>" means the characters
        self.backend, self.kind = backend, kind

    # ---- making one -------------------------------------------------------------------------------------------------

    @classmethod
    def train_bpe(cls, texts: Iterable[str], vocab_size: int = 8192, min_frequency: int = 2) -> TextTokenizer:
        """Byte-level BPE (Radford et al. 2019): every text can be encoded, words keep their leading space."""
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        if vocab_size < len(alphabet) + 1:
            raise ValueError(f"vocab_size must be at least {len(alphabet) + 1} for byte-level BPE, got {vocab_size}.")
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=[PAD],
            initial_alphabet=sorted(alphabet),
            show_progress=False,
        )
        backend.train_from_iterator((" " + text for text in texts), trainer)
        return cls(backend, "bpe")

    @classmethod
    def train_words(cls, texts: Iterable[str], min_count: int = 11, max_size: int | None = None) -> TextTokenizer:
        """Words of a corpus tokenised by spaces, those seen at least ``min_count`` times; others become <unk>."""
        counts: dict[str, int] = {}
        for text in texts:
            for word in text.split():
                counts[word] = counts.get(word, 0) + 1
        kept = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))[:max_size]
        vocabulary = {PAD: 0, UNKNOWN: 1} | {" " + word: i + 2 for i, word in enumerate(kept)}
        backend = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
        backend.pre_tokenizer = pre_tokenizers.Split(_WORD, "isolated")
        backend.add_special_tokens([PAD, UNKNOWN])
        return cls(backend, "word")

    @classmethod
    def bytes(cls) -> TextTokenizer:
        """One token for each byte."""
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        backend = Tokenizer(models.BPE({PAD: 0} | {char: i + 1 for i, char in enumerate(alphabet)}, []))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.add_special_tokens([PAD])
        return cls(backend, "byte")

    # ---- text <-> ids -----------------------------------------------------------------------------------------------

    def encode(self, text: str, continues: bool = False) -> list[int]:
        """Ids of a text; with ``continues`` the text follows other text and no space is put before it."""
        return self.backend.encode(text if continues else " " + text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts at once (in parallel threads)."""
        return [e.ids for e in self.backend.encode_batch([" " + text for text in texts], add_special_tokens=False)]

    def encode_prompt(self, prompt: str) -> list[int]:
        """Ids of a condition."""
        return self.encode(prompt)

    def encode_prompts(self, prompts: Sequence[str], longest: int) -> list[list[int]]:
        """Ids of many conditions, each cut to ``longest``."""
        return [ids[:longest] for ids in self.encode_batch(prompts)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; the prefixed space is taken off, pad and other special tokens vanish."""
        return self.vocabulary.decode(ids).removeprefix(" ")

    # ---- facts ------------------------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """V, special tokens counted."""
        return self.backend.get_vocab_size()

    @property
    def pad_id(self) -> int:
        """Id of the token that fills the tail of a span."""
        pad = self.backend.token_to_id(PAD)
        assert pad is not None  # checked when the tokenizer was made
        return pad

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Surfaces of all tokens."""
        special = frozenset(i for t in (PAD, UNKNOWN) if (i := self.backend.token_to_id(t)) is not None)
        to_byte = {char: byte for byte, char in bytes_to_unicode().items()}
        surfaces = []
        for i in range(self.vocab_size):
            token = self.backend.id_to_token(i) or ""
            if i in special:
                surfaces.append(b"")
            elif self.kind == "word":
                surfaces.append(token.encode())
            else:
                surfaces.append(bytes(to_byte[char] for char in token))
        return Vocabulary(tuple(surfaces), self.pad_id, special)

    # ---- files ------------------------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Writes ``tokenizer.json`` and ``tokenizer_meta.json``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.save(str(folder / TOKENIZER_FILE))
        (folder / META_FILE).write_text(json.dumps({"kind": self.kind}) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> TextTokenizer:
        """Reads what `save_pretrained` wrote.

        Raises:
            FileNotFoundError: naming the missing file.
            ValueError: if a file is damaged.
        """
        folder = Path(folder)
        for name in (TOKENIZER_FILE, META_FILE):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"No {name} in {folder}; a tokenizer folder holds {TOKENIZER_FILE} and {META_FILE}."
                )
        file = folder / META_FILE
        try:
            kind = json.loads(file.read_text())["kind"]
            file = folder / TOKENIZER_FILE
            backend = Tokenizer.from_file(str(file))
        except Exception as error:
            raise ValueError(f"The tokenizer's {file} cannot be read ({reason_of(error)}); copy it again.") from error
        return cls(backend, kind)
