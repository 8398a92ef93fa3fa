"""The self-test finds a wrong shift and causal attention on clean text, and is content with what is right."""

import pytest
import torch

from diffusionlm.families import Switches, TokenModel
from diffusionlm.families.self_test import TEXTS, run_self_test
from diffusionlm.families.tiny import tiny_loaded
from diffusionlm.families.tiny_tokenizers import byte_bpe_tokenizer
from diffusionlm.text.foreign import ForeignTokenizer


class Knows:
    """A network that knows the texts by heart: logits at a position are of its own token, or of the next one."""

    def __init__(self, tokenizer, shift, sees):
        self.texts = [torch.tensor(tokenizer.encode(text)) for text in TEXTS]
        self.size, self.shift, self.sees = tokenizer.vocab_size, shift, sees

    def table(self):
        return torch.zeros(self.size, 4)

    def logits(self, ids, sheet, at, gamma, switches):
        out = torch.zeros(*at.shape, self.size)
        for row, places in enumerate(at.tolist()):
            known = next(t for t in self.texts if len(t) == ids.shape[1] and (t == ids[row]).sum() >= len(t) - 2)
            for column, place in enumerate(places):
                out[row, column, known[min(place + self.shift, len(known) - 1)]] = 9.0
                if self.sees:
                    out[row, column, int(ids[row].sum()) % self.size] += 0.1
        return out


@pytest.fixture(scope="module")
def tokenizer():
    return ForeignTokenizer(byte_bpe_tokenizer(), end_id=0, mask_id=1)


def model_of(tokenizer, assumed, true, sees=True):
    network = Knows(tokenizer, true, sees)
    return TokenModel(
        network, Switches(shift=assumed), vocab_size=tokenizer.vocab_size, max_length=512, mask_id=1, end_ids=(0,)
    )


@pytest.mark.parametrize("shift", [0, 1])
def test_the_right_shift_is_not_contradicted(tokenizer, shift):
    found = run_self_test(model_of(tokenizer, shift, shift), tokenizer)
    assert found.right[shift] == 1.0
    assert found.contradictions() == []
    assert any("reacts" in sentence for sentence in found.findings())


@pytest.mark.parametrize("shift", [0, 1])
def test_a_wrong_shift_is_told(tokenizer, shift):
    (sentence,) = run_self_test(model_of(tokenizer, 1 - shift, shift), tokenizer).contradictions()
    assert f"load the model with shift={shift}" in sentence


def test_a_network_that_does_not_look_ahead_is_told(tokenizer):
    (sentence,) = run_self_test(model_of(tokenizer, 0, 0, sees=False), tokenizer).contradictions()
    assert "Token i does not react to token i+1" in sentence


@pytest.mark.parametrize("name", ["bert", "qwen3", "mdlm"])
def test_random_networks_look_ahead_and_are_not_accused_of_a_shift(name):
    loaded = tiny_loaded(name)
    found = run_self_test(loaded.model, loaded.tokenizer, ["The food was not bad and the children liked it."])
    assert found.reaction > 1e-4
    assert len(found.findings()) == 3


def test_models_that_are_none_over_tokens_have_nothing_to_test():
    loaded = tiny_loaded("langflow")
    with pytest.raises(ValueError, match="self-test is for somebody else's network over tokens"):
        run_self_test(loaded.model, loaded.tokenizer)
