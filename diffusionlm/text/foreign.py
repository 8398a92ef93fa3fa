"""`ForeignTokenizer`: a tokenizer of transformers where the pipeline, spans and guidance expect a `TextTokenizer`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from diffusionlm.text.foreign_surfaces import plain_spaces, scheme_of, surface_of
from diffusionlm.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path


class ForeignTokenizer:
    """A tokenizer of transformers, with the surfaces of its tokens.

    Text is the concatenation of surfaces. Known text of a canvas comes back as it was given whatever the tokenizer makes of it
    (lower case, unknown words); only what is written goes through the surfaces.

    Args:
        source: a fast tokenizer of transformers.
        vocab_size: rows of the model's output, which may exceed the tokenizer's; the surplus is forbidden. None: the
            tokenizer's own size.
        end_id: the token after which a text is over, which is what pad is on our canvas; None where the model has no notion of
            an end: open spans then have exactly their length.
        mask_id: the token that stands for a hidden position; forbidden in a text.
        forbidden: further ids that may not be written.
        chat: whether a prompt is the user's turn of the tokenizer's chat template; None: where there is a template.

    Attributes:
        scheme, kind: "byte_bpe", "sentencepiece" or "wordpiece".
        prefix_space: whether the first word of a text is spelt with a space before it.
        ends_spans: whether a span can end early.

    Raises:
        ValueError: for a tokenizer without fast backend, of an unknown kind, or larger than the model.
    """

    def __init__(
        self,
        source: Any,
        vocab_size: int | None = None,
        end_id: int | None = None,
        mask_id: int | None = None,
        forbidden: Iterable[int] = (),
        chat: bool | None = None,
    ) -> None:
        backend = getattr(source, "backend_tokenizer", None)
        if backend is None:
            raise ValueError(
                f"The tokenizer {type(source).__name__} is not one of the `tokenizers` library, so the surfaces of its tokens "
                "are not known; save it as tokenizer.json (a fast tokenizer) first."
            )
        self.source, self.mask_id, self.end_id = source, mask_id, end_id
        self.vocab_size = len(source) if vocab_size is None else vocab_size
        if len(source) > self.vocab_size:
            raise ValueError(
                f"The tokenizer has {len(source)} tokens, the model {self.vocab_size}: they do not belong together. Give the "
                "model's own with tokenizer=<folder or name>."
            )
        self.scheme = self.kind = scheme_of(backend)
        self.backend = plain_spaces(backend)
        self.ends_spans = end_id is not None
        self._forbidden = frozenset(forbidden)
        self.chat = bool(getattr(source, "chat_template", None)) if chat is None else chat
        first = source("a", add_special_tokens=False)["input_ids"]
        self.prefix_space = bool(first) and self._surface(first[0], frozenset()).startswith(b" ")

    # ---- text <-> ids -----------------------------------------------------------------------------------------------

    def encode(self, text: str, continues: bool = False) -> list[int]:
        """Ids of a text; with ``continues`` it follows other text, so no space is put before it."""
        return self._ids(self._spelt(text, continues), text, continues)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts at once (in parallel threads)."""
        spelt = [self._spelt(text, False) for text in texts]
        return [e.ids for e in self.backend.encode_batch(spelt, add_special_tokens=False)]

    def encode_prompt(self, prompt: str) -> list[int]:
        """Ids of a condition: the user's turn of the chat template up to where the answer begins, or the plain text."""
        if not self.chat:
            return self.encode(prompt)
        turn = [{"role": "user", "content": prompt}]
        text = self.source.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        return list(self.source(text, add_special_tokens=False)["input_ids"])

    def encode_prompts(self, prompts: Sequence[str], longest: int) -> list[list[int]]:
        """Ids of many conditions, each cut to ``longest``; where the answer begins is not cut off."""
        if not self.chat:
            return [ids[:longest] for ids in self.encode_batch(prompts)]
        tail = self._turn_end
        whole = [self.encode_prompt(prompt) for prompt in prompts]
        return [ids if len(ids) <= longest else ids[: max(0, longest - len(tail))] + tail for ids in whole]

    @cached_property
    def _turn_end(self) -> list[int]:
        """Ids that a chat template puts behind every user's turn."""
        one, other = self.encode_prompt("a"), self.encode_prompt("b")
        same = 0
        while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
            same += 1
        return one[len(one) - same :]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; a space before the first word is taken off, special tokens vanish."""
        return self.vocabulary.decode(ids).removeprefix(" ")

    def _spelt(self, text: str, continues: bool) -> str:
        return f" {text}" if self.prefix_space and not continues else text

    def _ids(self, spelt: str, text: str, continues: bool) -> list[int]:
        ids = list(self.backend.encode(spelt, add_special_tokens=False).ids)
        if self.scheme == "wordpiece" and continues and ids and text[:1].isalnum():  # goes on within a word
            inner = self.backend.token_to_id(f"##{self.backend.id_to_token(ids[0])}")
            ids[:1] = [ids[0] if inner is None else inner]
        return ids

    # ---- facts ------------------------------------------------------------------------------------------------------

    @property
    def pad_id(self) -> int:
        """Id of what fills the tail of a span: the end token; where a model knows no end, a token that is never written."""
        if self.end_id is not None:
            return self.end_id
        for candidate in (self.source.pad_token_id, self.mask_id, *sorted(self.special_ids)):
            if candidate is not None:
                return int(candidate)
        raise ValueError("The tokenizer has no special token at all; give the end token with end_token=...")

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text: special tokens, surplus rows, tokens without a surface, what the caller forbids."""
        named = {i for i, token in self.source.added_tokens_decoder.items() if token.special}
        named |= {i for i in (*self.source.all_special_ids, self.mask_id, self.end_id) if i is not None}
        surplus = set(range(self.backend.get_vocab_size(), self.vocab_size))
        empty = {i for i in range(self.vocab_size) if i not in surplus and not self._surface(i, frozenset())}
        return frozenset(named | surplus | empty | self._forbidden)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Surfaces of all tokens."""
        special = self.special_ids | {self.pad_id}
        surfaces = tuple(self._surface(i, special) for i in range(self.vocab_size))
        return Vocabulary(surfaces, self.pad_id, special)

    @cached_property
    def _added(self) -> dict[int, str]:
        return {i: token.content for i, token in self.source.added_tokens_decoder.items()}

    def _surface(self, i: int, special: frozenset[int]) -> bytes:
        if i in special:
            return b""
        if i in self._added:
            return self._added[i].encode()
        token = self.backend.id_to_token(i)
        return b"" if token is None else surface_of(token, self.scheme) or b""

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Writes what transformers' ``AutoTokenizer`` reads."""
        self.source.save_pretrained(folder)


def frame_of(source: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that a tokenizer of transformers puts before and behind a text, such as [CLS] and [SEP]."""
    bare = list(source("a", add_special_tokens=False)["input_ids"])
    framed = list(source("a", add_special_tokens=True)["input_ids"])
    for at in range(len(framed) - len(bare) + 1):
        if framed[at : at + len(bare)] == bare:
            return tuple(framed[:at]), tuple(framed[at + len(bare) :])
    return (), ()
