"""Tiny tokenizers of the three schemes, made by the `tokenizers` library: for tests, and to try a family without a download."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SAMPLE = (
    "The Eagle is a cheap pub near The Mill. The food was not bad and the children liked it. The river is near by. "
    "I was never there, you see; he was. It serves Italian food, wine and coffee, and is family friendly. "
    "Call 555-1234 or 42 07 98, or write to jane.doe@mail.com. Hello, stupid! A damn good place? Lovely, fine, very fine. "
    "a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V W X Y Z "
    "0 1 2 3 4 5 6 7 8 9 . , ! ? - @ : ; ( ) ' "
)
WORDPIECE_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"]
BPE_SPECIAL = ["<|endoftext|>", "<|mask|>", "<|im_start|>", "<|im_end|>"]
SENTENCEPIECE_SPECIAL = ["<pad>", "</s>", "<s>", "<unk>", "<mask>"]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def wordpiece_tokenizer() -> Any:
    """As BERT's: lower case, [CLS] text [SEP]; the words of the sample, letters, and a few endings."""
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.BertPreTokenizer()
    words = dict.fromkeys(word for word, _ in splitter.pre_tokenize_str(SAMPLE.lower()))
    letters = sorted({char for word in words for char in word})
    pieces = [*WORDPIECE_SPECIAL, *words, *letters, *(f"##{char}" for char in letters), "##ing", "##ed", "##er"]
    backend = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(WORDPIECE_SPECIAL)
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def byte_bpe_tokenizer(size: int = 400, chat: bool = False, mask: bool = True) -> Any:
    """As Qwen's: bytes, <|endoftext|>, perhaps a mask token and a chat template."""
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=BPE_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([SAMPLE] * 4, trainer)
    names = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    if mask:
        names["mask_token"] = "<|mask|>"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, additional_special_tokens=["<|im_start|>", "<|im_end|>"], **names
    )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def sentencepiece_tokenizer(size: int = 400) -> Any:
    """As Llama's and T5's: "▁" for spaces with one before the text, bytes for what has no piece, text </s>."""
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = [*SENTENCEPIECE_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=max(size, 340), special_tokens=special, show_progress=False)
    backend.train_from_iterator([SAMPLE] * 4, trainer)
    tokens = backend.to_str()
    backend = Tokenizer.from_str(_as_plain_bytes(tokens))
    end = ("</s>", backend.token_to_id("</s>"))
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def _as_plain_bytes(said: str) -> str:
    """Bytes of the fallback are ordinary pieces of the model, not added tokens."""
    import json

    tokenizer = json.loads(said)
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if not t["content"].startswith("<0x")]
    return json.dumps(tokenizer)
