"""A masked language model of transformers trained on all shares of hidden tokens, so that it writes from nothing.

BERT and its kin restore the 15 % of a text that were hidden. Trained on every share, with the weight that makes the loss a
bound of the likelihood, such a network is a masked diffusion model (Sahoo et al. 2024, "Simple and effective masked diffusion
language models"), and it begins with the English that its makers paid for. All weights learn, so the base is not needed later.

Its vocabulary may be replaced by one of the user's texts (letter case, names): a new token begins as the mean of the pieces
that the base's tokenizer cuts it into.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.utils import logging as transformers_logging

from diffusionlm.checkpoints.base_weights import base_checksum
from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.checkpoints.folders import find_folder
from diffusionlm.checkpoints.foreign import is_foreign
from diffusionlm.context.encoders import MINILM, minilm_folder
from diffusionlm.families import Checkpoint, Choices, Loaded
from diffusionlm.families.masked_lm import OWN, MaskedLM, from_masked_lm
from diffusionlm.training.bigram_counts import write_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from diffusionlm.training.corpus import TokenCorpus

END, MASK, SEPARATOR = "[END]", "[MASK]", "[SEP]"
TURN = "{% for message in messages %}{{ message['content'] }}{% endfor %}" + SEPARATOR
_NO_WORD = "Ġ"  # a byte-level token that opens a word begins with it


@dataclass(frozen=True)
class Base:
    """A masked language model that is about to learn.

    Attributes:
        module: all of its weights learn.
        source: its tokenizer of transformers.
        loaded: both as the pipeline has them.
        checksum: of the weights and vocabulary that it starts from.
    """

    module: Any
    source: Any
    loaded: Loaded
    checksum: str

    def write(self, folder: Path, card: dict[str, Any], settings: dict[str, Any], corpus: TokenCorpus) -> None:
        """Writes a folder that `DiffusionLMPipeline.from_pretrained` and transformers read, with the weights in place.

        Args:
            folder: new, or an older one, which is replaced.
            card: facts, ready for JSON.
            settings: defaults of the pipeline: sampler, max_length, steps, ...
            corpus: whose neighbouring tokens are counted for `Bigrams`.

        Raises:
            OSError: if it cannot be written.
        """
        with atomic_folder(folder) as draft, _quiet():
            self.module.save_pretrained(draft)
            self.source.save_pretrained(draft)
            path = draft / "config.json"
            config = json.loads(path.read_text(encoding="utf-8")) | {OWN: {**settings, "card": card}}
            path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            write_counts(corpus, self.loaded.tokenizer.vocabulary, draft, folder)


def is_masked_lm(name: str | Path) -> bool:
    """True where a checkpoint's name is that of a masked language model: "minilm", or a folder whose config.json says so.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
    """
    if str(name) == MINILM:
        return True
    folder = find_folder(name)
    return is_foreign(folder) and MaskedLM.recognises(Checkpoint.read(folder), Choices())


def load_base(name: str | Path, texts: Iterable[str] | None, vocab_size: int, saved: Path | None = None) -> Base:
    """The network to train, in float32 and without dropout: noise enough comes from hiding tokens.

    Args:
        name: "minilm", a folder, or owner/name on the Hub.
        texts: to learn a new vocabulary from; None keeps the base's own, which then needs a mask token and an end.
        vocab_size: of the new vocabulary.
        saved: folder of the tokenizer of a run that has begun, which is used instead.

    Raises:
        FileNotFoundError: if there is no such base.
        ModuleNotFoundError: if "minilm" is not installed.
        ValueError: if it is no masked language model, or its vocabulary lacks something.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

    folder = minilm_folder() if str(name) == MINILM else find_folder(name)
    own = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]), _quiet():
        module, report = AutoModelForMaskedLM.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    _fill_head(module, report["missing_keys"])
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    if texts is None:
        source = own
    else:
        source = (
            train_vocabulary(texts, vocab_size) if saved is None else PreTrainedTokenizerFast.from_pretrained(saved)
        )
        move_vocabulary(module, own, source)
    if source.eos_token_id is None and source.sep_token_id is not None:  # BERT's [SEP] is where a text is over
        source.eos_token = source.sep_token
    choices = Choices(family="masked", chat=texts is not None)
    loaded = from_masked_lm(module, source, choices)
    return Base(module, source, loaded, base_checksum(module))


def train_vocabulary(texts: Iterable[str], size: int) -> Any:
    """A byte-level BPE of transformers whose words begin with a space, with tokens for end, mask and the end of a prompt.

    Raises:
        ValueError: if ``size`` leaves no room for all bytes.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special, alphabet = [END, MASK, SEPARATOR], sorted(pre_tokenizers.ByteLevel.alphabet())
    if size < len(special) + len(alphabet):
        raise ValueError(
            f"data.tokenizer.vocab_size must be at least {len(special) + len(alphabet)}, for all bytes; got {size}."
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    source = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=END, pad_token=END, mask_token=MASK, sep_token=SEPARATOR
    )
    source.chat_template = TURN
    return source


@torch.no_grad()
def move_vocabulary(module: Any, own: Any, source: Any) -> None:
    """Gives a network the vocabulary of another tokenizer, in place.

    Each new token gets the mean of the rows of the pieces that the old tokenizer cuts its text into; what goes on within
    a word is looked for with the old tokenizer's mark of that ("##"). End and mask take the rows of their likes.

    Args:
        module: the network, with tied embeddings or without.
        own: its tokenizer.
        source: the new one.
    """
    embedding, head = module.get_input_embeddings(), module.get_output_embeddings()
    tables = {"in": embedding.weight.clone()}
    tied = head.weight.data_ptr() == embedding.weight.data_ptr()
    if not tied:
        tables["out"] = head.weight.clone()
    pieces = [_pieces(source, own, token) for token in range(len(source))]
    for name, like in ((END, own.sep_token_id), (SEPARATOR, own.sep_token_id), (MASK, own.mask_token_id)):
        if like is not None:
            pieces[source.convert_tokens_to_ids(name)] = [like]
    module.resize_token_embeddings(len(source), mean_resizing=False)
    module.config.pad_token_id = source.pad_token_id
    for name, old in tables.items():
        table = (module.get_input_embeddings() if name == "in" else module.get_output_embeddings()).weight
        mean = old.mean(0)
        for token, ids in enumerate(pieces):
            table[token] = old[ids].mean(0) if ids else mean
    embedding = module.get_input_embeddings()
    embedding.padding_idx = None  # the end of a text is a token like others
    head = module.get_output_embeddings()
    if getattr(head, "bias", None) is not None:
        head.bias.zero_()


def _pieces(source: Any, own: Any, token: int) -> list[int]:
    """Ids in the old vocabulary of a new token's text; none for special tokens and halves of characters."""
    text, name = source.decode([token]), source.convert_ids_to_tokens(token)
    word = text.strip()
    if token in source.all_special_ids or not word or "�" in word:
        return []
    ids: list[int] = own.encode(word, add_special_tokens=False)
    if not name.startswith(_NO_WORD) and word.isalpha():
        inner = own.get_vocab().get(f"##{word.lower()}")
        ids = ids if inner is None else [inner]
    return [i for i in ids if i != own.unk_token_id]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from showing bars, and a table of what a checkpoint lacks (`_fill_head` sees to it)."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


@torch.no_grad()
def _fill_head(module: Any, missing: Iterable[str]) -> None:
    """Makes layers that a checkpoint lacks (a sentence encoder has no head) pass on what they are given."""
    for name in missing:
        weight = module.get_parameter(name)
        if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
            nn.init.eye_(weight)
        elif name.endswith("bias"):
            weight.zero_()
