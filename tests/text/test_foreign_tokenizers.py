"""Tokenizers of transformers give surfaces whose concatenation is the text, whatever their scheme."""

import pytest

from diffusionlm.families.tiny_tokenizers import byte_bpe_tokenizer, sentencepiece_tokenizer, wordpiece_tokenizer
from diffusionlm.spans import Canvas
from diffusionlm.text.foreign import ForeignTokenizer, frame_of

TEXT = "The Eagle is a cheap pub near The Mill."


@pytest.fixture(params=["byte_bpe", "sentencepiece", "wordpiece"])
def tokenizer(request):
    source = {
        "byte_bpe": byte_bpe_tokenizer,
        "sentencepiece": sentencepiece_tokenizer,
        "wordpiece": wordpiece_tokenizer,
    }[request.param]()
    end = None if request.param == "wordpiece" else source.eos_token_id
    made = ForeignTokenizer(source, len(source) + 5, end, source.mask_token_id)
    assert made.scheme == request.param
    return made


def test_decoding_is_the_concatenation_of_surfaces(tokenizer):
    text = TEXT.lower() if tokenizer.scheme == "wordpiece" else TEXT
    ids = tokenizer.encode(TEXT)
    assert tokenizer.decode(ids) == text
    joined = b"".join(tokenizer.vocabulary.surfaces[i] for i in ids).decode()
    assert joined == (f" {text}" if tokenizer.prefix_space else text)


def test_a_text_in_two_pieces_is_the_text(tokenizer):
    for cut in (3, 4, 9, len(TEXT) - 1):
        ids = [*tokenizer.encode(TEXT[:cut]), *tokenizer.encode(TEXT[cut:], continues=True)]
        text = TEXT.lower() if tokenizer.scheme == "wordpiece" else TEXT
        got = tokenizer.decode(ids)
        # WordPiece has no token for a space alone, so a cut behind a space reads as one before
        assert got == text or (tokenizer.scheme == "wordpiece" and got.replace(" ", "") == text.replace(" ", ""))


def test_word_piece_goes_on_within_a_word():
    tokenizer = ForeignTokenizer(wordpiece_tokenizer(), mask_id=4)
    ids = [*tokenizer.encode("mill"), *tokenizer.encode("s", continues=True)]
    assert tokenizer.decode(ids) == "mills"


def test_every_text_of_bytes_comes_back():
    tokenizer = ForeignTokenizer(byte_bpe_tokenizer(), end_id=0, mask_id=1)
    for text in ("Müller's café 東京 🙂", "  two  spaces", "[MASK] and <|endoftext|> are characters here"):
        assert tokenizer.decode(tokenizer.encode(text, continues=True)) == text.removeprefix(" ")
        assert not set(tokenizer.encode(text)) & tokenizer.special_ids


def test_byte_pieces_of_sentencepiece_are_bytes():
    tokenizer = ForeignTokenizer(sentencepiece_tokenizer(), end_id=1, mask_id=4)
    assert tokenizer.decode(tokenizer.encode("東")) == "東"
    assert tokenizer.prefix_space


def test_surplus_rows_and_special_tokens_stand_for_no_text(tokenizer):
    vocabulary, size = tokenizer.vocabulary, len(tokenizer.source)
    assert len(vocabulary) == size + 5
    assert set(range(size, size + 5)) <= vocabulary.special_ids
    assert tokenizer.mask_id in vocabulary.special_ids
    assert tokenizer.pad_id in vocabulary.special_ids
    assert all(vocabulary.surfaces[i] == b"" for i in vocabulary.special_ids)
    assert all(vocabulary.surfaces[i] for i in range(len(vocabulary)) if i not in vocabulary.special_ids)
    unused = tokenizer.backend.token_to_id("[unused0]")
    assert unused is None or unused in vocabulary.special_ids


def test_spans_end_early_only_where_the_model_knows_an_end(tokenizer):
    layout = Canvas.parse("[SPAN] is near.").lay_out(tokenizer, 6)
    assert bool(layout.open_mask.any()) == (tokenizer.end_id is not None)
    allowed = layout.allowed(tokenizer)
    special = sorted(tokenizer.vocabulary.special_ids - {tokenizer.pad_id})
    assert not allowed[:, special].any()
    text, _ = layout.assemble((tokenizer.encode("The Mill") + [tokenizer.pad_id] * 6)[:6], tokenizer)
    assert text.endswith(" is near.")


def test_a_prompt_is_the_users_turn_where_there_is_a_template():
    tokenizer = ForeignTokenizer(byte_bpe_tokenizer(chat=True), end_id=0, mask_id=1)
    shown = tokenizer.source.decode(tokenizer.encode_prompt("Hello"))
    assert shown == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    plain = ForeignTokenizer(byte_bpe_tokenizer(chat=True), end_id=0, mask_id=1, chat=False)
    assert plain.encode_prompt("Hello") == plain.encode("Hello")


def test_what_stands_around_a_text():
    assert frame_of(wordpiece_tokenizer()) == ((2,), (3,))
    assert frame_of(byte_bpe_tokenizer()) == ((), ())
    assert frame_of(sentencepiece_tokenizer()) == ((), (1,))


def test_a_tokenizer_larger_than_the_model_is_refused():
    source = byte_bpe_tokenizer()
    with pytest.raises(ValueError, match="they do not belong together"):
        ForeignTokenizer(source, len(source) - 1, end_id=0)
    with pytest.raises(ValueError, match="fast tokenizer"):
        ForeignTokenizer(object())
