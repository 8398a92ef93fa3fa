"""A text may say what a special token is called; it stays text."""

import pytest

from diffusionlm.text import TextTokenizer


@pytest.mark.parametrize("make", [TextTokenizer.bytes, lambda: TextTokenizer.train_bpe(["a <pad> b"], 300)])
def test_the_name_of_a_special_token_is_text(make) -> None:
    tokenizer = make()
    ids = tokenizer.encode("a <pad> b")
    assert tokenizer.pad_id not in ids
    assert tokenizer.decode(ids) == "a <pad> b"
