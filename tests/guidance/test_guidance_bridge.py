"""The vocabulary bridge: soft tokens into a model with another tokenizer, exact where the posterior is certain."""

import random

import pytest
import torch
from torch.nn import functional as F

from diffusionlm.guidance import VocabularyBridge
from diffusionlm.guidance.classifiers.bridge import overlaps, place_tokens
from diffusionlm.guidance.classifiers.tiny_classifier import tiny_classifier
from diffusionlm.spans import Canvas, Span

NAMES = ["The Mill", "Blue Spice", "The Eagle", "Café Brazil", "The Portland Arms", "Zizzi"]
ENDS = [
    "is a cheap Italian pub.",
    "serves Japanese food, doesn't it?",
    "costs £20-25 — not cheap!",
    "isn't family-friendly.",
]
PLACES = ["near the river", "in the city centre", "by Crowne Plaza Hotel", ""]


def sentences(count):
    rng = random.Random(0)
    return [f"{rng.choice(NAMES)} {rng.choice(PLACES)} {rng.choice(ENDS)}".replace("  ", " ") for _ in range(count)]


def byte_level_tokenizer():
    """Another byte-level BPE, with other merges than ours."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>"],
        show_progress=False,
    )
    backend.train_from_iterator(["serves coffee and Japanese dishes near the station", "Portland"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")


def one_hot(text, tokenizer):
    ids = tokenizer.encode(text)
    layout = Canvas((Span(len(ids)),)).lay_out(tokenizer, 1)
    return F.one_hot(torch.tensor(ids), tokenizer.vocab_size).float()[None], layout


@pytest.fixture(scope="module")
def classifier():
    return tiny_classifier(sentences(20))


def test_certain_posteriors_score_as_their_decoded_text(vocabulary, tokenizer, classifier):
    model, other = classifier
    bridge = VocabularyBridge(vocabulary, other, model.get_input_embeddings().weight)
    close = 0
    texts = sentences(200)
    for text in texts:
        probs, layout = one_hot(text, tokenizer)
        bridged = bridge.embed(probs, [layout])
        assert bridged.texts == [text]
        with torch.no_grad():
            soft = model(**bridged.to_model()).logits.softmax(-1)
            hard = model(**other(text, return_tensors="pt")).logits.softmax(-1)
        close += bool((soft - hard).abs().max() < 0.05)
    assert close >= 0.99 * len(texts)


def test_nearly_certain_posteriors_score_nearly_the_same(vocabulary, tokenizer, classifier):
    model, other = classifier
    bridge = VocabularyBridge(vocabulary, other, model.get_input_embeddings().weight)
    for text in sentences(20):
        probs, layout = one_hot(text, tokenizer)
        smeared = 0.99 * probs + 0.01 / probs.shape[-1]
        with torch.no_grad():
            soft, hard = (model(**bridge.embed(p, [layout]).to_model()).logits.softmax(-1) for p in (smeared, probs))
        assert (soft - hard).abs().max() < 0.05


def test_another_byte_level_vocabulary_works_too(vocabulary, tokenizer):
    other = byte_level_tokenizer()
    table = torch.randn(len(other), 8)
    bridge = VocabularyBridge(vocabulary, other, table)
    for text in sentences(30):
        probs, layout = one_hot(text, tokenizer)
        torch.testing.assert_close(bridge.embed(probs, [layout]).inputs_embeds[0], table[other(text)["input_ids"]])


def test_tokens_that_are_one_piece_are_exact_and_their_share_is_reported(vocabulary, tokenizer, classifier):
    model, other = classifier
    bridge = VocabularyBridge(vocabulary, other, model.get_input_embeddings().weight)
    cheap = vocabulary.strings.index(" cheap")
    torch.testing.assert_close(bridge.soft_embedding[cheap], bridge.embedding[other.convert_tokens_to_ids("cheap")])
    assert 0.3 < bridge.exact_share <= 1.0
    same = VocabularyBridge(vocabulary, _own_tokenizer(tokenizer), torch.randn(tokenizer.vocab_size, 4))
    ascii_only = [i for i, s in enumerate(vocabulary.surfaces) if i not in vocabulary.special_ids and s.isascii()]
    assert same.exact_share >= 0.99 * len(ascii_only) / (len(vocabulary) - 1)


def _own_tokenizer(tokenizer):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend, pad_token="<pad>")


def test_the_input_is_linear_in_the_posterior_and_gradients_reach_every_token(vocabulary, tokenizer, classifier):
    model, other = classifier
    bridge = VocabularyBridge(vocabulary, other, model.get_input_embeddings().weight)
    probs, layout = one_hot("The Mill is a cheap pub.", tokenizer)
    river = vocabulary.strings.index(" river")
    probs = probs.requires_grad_()
    position = tokenizer.encode("The Mill is a cheap pub.").index(vocabulary.strings.index(" cheap"))
    bridged = bridge.embed(probs, [layout])
    torch.autograd.backward(bridged.inputs_embeds.sum())
    torch.testing.assert_close(probs.grad[0, position, river], bridge.soft_embedding[river].sum())
    mixed = probs.detach().clone()
    mixed[0, position] *= 0.75
    mixed[0, position, river] += 0.25
    piece = other("The Mill is a cheap pub.")["input_ids"].index(other.convert_tokens_to_ids("cheap"))
    expected = 0.75 * bridge.embedding[other.convert_tokens_to_ids("cheap")] + 0.25 * bridge.soft_embedding[river]
    torch.testing.assert_close(bridge.embed(mixed, [layout]).inputs_embeds[0, piece], expected)


@pytest.mark.parametrize("text", ["Café Zürich £5 — fine", "[SPAN:2] über [SPAN:3], ok", "The [SPAN:4]\nends. "])
def test_tokens_are_placed_in_the_text_that_the_canvas_assembles(tokenizer, text):
    canvas = Canvas.parse(text) if "[SPAN" in text else Canvas((text, Span(3)))
    layout = canvas.lay_out(tokenizer, 4)
    generator = torch.Generator().manual_seed(0)
    allowed = layout.allowed(tokenizer.vocabulary).float()
    for _ in range(20):
        ids = torch.multinomial(allowed, 1, generator=generator).flatten().tolist()
        placed, places = place_tokens(ids, layout, tokenizer.vocabulary)
        assert placed == layout.assemble(ids, tokenizer.vocabulary)[0]
        for token, (first, last) in zip(ids, places, strict=True):
            surface = tokenizer.vocabulary.surfaces[token]
            if surface.isascii() and last > first and first > 0:
                assert placed[first:last] == surface.decode()


def test_positions_and_pieces_are_matched_by_the_characters_they_share():
    places = [(0, 3), (3, 8), (8, 8), (8, 9)]
    offsets = [(0, 0), (0, 3), (4, 6), (6, 9), (0, 0)]
    assert overlaps(places, offsets, [1, 0, 0, 0, 1]) == [(0, 1), (1, 2), (1, 3), (3, 3)]


def test_texts_longer_than_the_model_takes_are_cut(vocabulary, tokenizer, classifier):
    model, other = classifier
    bridge = VocabularyBridge(vocabulary, other, model.get_input_embeddings().weight, max_length=6)
    probs, layout = one_hot("The Mill is a cheap Italian pub near the river.", tokenizer)
    assert bridge.embed(probs, [layout]).inputs_embeds.shape[1] == 6


def test_what_cannot_be_bridged_is_refused(vocabulary, classifier):
    model, other = classifier
    with pytest.raises(ValueError, match="needs a fast tokenizer"):
        VocabularyBridge(vocabulary, object(), model.get_input_embeddings().weight)
    with pytest.raises(ValueError, match="pieces, the model embeddings for 3"):
        VocabularyBridge(vocabulary, other, torch.randn(3, 4))
