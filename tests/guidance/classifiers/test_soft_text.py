"""Soft texts: where spans and known text stand, soft embeddings, gradients; and the reader that reads them."""

from types import SimpleNamespace

import pytest
import torch

from diffusionlm.guidance.classifiers.reader import Reader, ReaderConfig
from diffusionlm.guidance.classifiers.soft_text import soft_text
from diffusionlm.guidance.classifiers.store import find_reader, load_reader, resources
from diffusionlm.spans import Canvas


def state_of(tokenizer, texts, ids=None, length=4):
    """A state of canvases, with random posteriors or with the given token ids."""
    layouts = [Canvas.parse(text).lay_out(tokenizer, length) for text in texts]
    longest = max(layout.length for layout in layouts)
    mask = torch.zeros(len(layouts), longest, dtype=torch.bool)
    for row, layout in zip(mask, layouts, strict=True):
        row[: layout.length] = True
    generator = torch.Generator().manual_seed(0)
    if ids is None:
        probs = torch.rand(len(layouts), longest, tokenizer.vocab_size, generator=generator)
        probs = probs / probs.sum(-1, keepdim=True)
    else:
        probs = torch.nn.functional.one_hot(ids, tokenizer.vocab_size).float()
    return SimpleNamespace(layouts=layouts, span_mask=mask, probs=probs, vocabulary=tokenizer.vocabulary)


def make_reader(vocabulary, **changes):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "dropout": 0.0}
    config = ReaderConfig(
        vocab_size=len(vocabulary),
        vocabulary_fingerprint=vocabulary.fingerprint,
        sequence_labels=["rude", "loud"],
        token_labels=["O", "rude"],
        pad_token_id=vocabulary.pad_id,
        **(shape | changes),
    )
    return Reader(config).eval()


def test_a_one_hot_posterior_embeds_as_the_text_itself(tokenizer):
    text = "The Mill is a cheap Italian pub near the river."
    coded = tokenizer.encode(text)
    canvas = "The Mill [SPAN:4] Italian pub near [SPAN:3]"
    layout = Canvas.parse(canvas).lay_out(tokenizer, 4)
    at = layout.span_positions.tolist()
    whole = tokenizer.encode("The Mill") + [0] * 4 + tokenizer.encode(" Italian pub near", continues=True) + [0] * 3
    written = torch.tensor([[coded[i % len(coded)] for i in range(7)]])
    state = state_of(tokenizer, [canvas], written)
    soft = soft_text(state)
    expected = torch.tensor(whole)
    expected[at] = written[0]
    table = torch.randn(tokenizer.vocab_size, 5)
    assert soft.ids[0].tolist() == expected.tolist()
    assert soft.is_span[0].nonzero().flatten().tolist() == at
    torch.testing.assert_close(soft.embed(table)[0], table[expected])


def test_rows_of_different_lengths_keep_to_themselves(tokenizer):
    state = state_of(tokenizer, ["The [SPAN:2] pub.", "A [SPAN:6] near the river and [SPAN:1]", "[SPAN:3]"])
    soft = soft_text(state)
    table = torch.randn(tokenizer.vocab_size, 3)
    both = soft.embed(table)
    for row, text in enumerate(["The [SPAN:2] pub.", "A [SPAN:6] near the river and [SPAN:1]", "[SPAN:3]"]):
        layout = state.layouts[row]
        assert int(soft.mask[row].sum()) == layout.total
        assert soft.is_span[row].nonzero().flatten().tolist() == layout.span_positions.tolist()
        torch.testing.assert_close(both[row, layout.known_positions], table[layout.known_ids], msg=text)
        expected = state.probs[row, : layout.length] @ table
        torch.testing.assert_close(both[row, layout.span_positions], expected, msg=text)
        assert not both[row, layout.total :].any()
    values = torch.randn(3, state.probs.shape[1], 2)
    back = soft.gather(soft.scatter(values))
    torch.testing.assert_close(back, values * state.span_mask[..., None])


def test_presence_is_the_chance_of_text(tokenizer):
    state = state_of(tokenizer, ["The [SPAN:2] pub."])
    soft = soft_text(state)
    assert bool((soft.presence[0][~soft.is_span[0]] == 1).all())
    pads = state.probs[0, :, tokenizer.pad_id]
    torch.testing.assert_close(soft.gather(soft.presence)[0], 1 - pads)


def test_gradients_reach_the_posterior_of_every_span_position(tokenizer):
    state = state_of(tokenizer, ["The [SPAN:3] pub [SPAN:2]", "[SPAN:4] river"])
    state.probs.requires_grad_()
    reader = make_reader(tokenizer.vocabulary)
    out = reader(soft_text(state), 1.0)
    assert out.sequence_logits.shape == (2, 2)
    assert out.token_logits.shape == (2, soft_text(state).ids.shape[1], 2)
    for value in (out.sequence_logits.sum(), out.token_logits.square().sum()):
        (gradient,) = torch.autograd.grad(value, state.probs, retain_graph=True)
        reached = gradient.abs().sum(-1) > 0
        assert reached.tolist() == state.span_mask.tolist()


def test_the_reader_hears_of_the_noise_level_and_not_of_other_rows(tokenizer):
    reader = make_reader(tokenizer.vocabulary)
    texts = ["The [SPAN:3] pub [SPAN:2]", "[SPAN:4] river"]
    both = reader(soft_text(state_of(tokenizer, texts)), torch.tensor([1.0, -3.0])).sequence_logits
    state = state_of(tokenizer, texts)
    alone = soft_text(
        SimpleNamespace(
            layouts=state.layouts[1:], span_mask=state.span_mask[1:], probs=state.probs[1:], vocabulary=state.vocabulary
        )
    )
    torch.testing.assert_close(reader(alone, -3.0).sequence_logits, both[1:])
    assert (reader(alone, 1.0).sequence_logits - both[1:]).abs().max() > 1e-4


def test_a_saved_reader_comes_back_and_refuses_another_vocabulary(tokenizer, tmp_path):
    from diffusionlm.text import TextTokenizer

    reader = make_reader(tokenizer.vocabulary)
    reader.save_pretrained(tmp_path / "rude")
    state = state_of(tokenizer, ["The [SPAN:3] pub"])
    again = load_reader(tmp_path / "rude", tokenizer.vocabulary)
    assert again.config.sequence_labels == ["rude", "loud"]
    torch.testing.assert_close(again(soft_text(state), 0.5).token_logits, reader(soft_text(state), 0.5).token_logits)
    assert not any(parameter.requires_grad for parameter in again.parameters())
    with pytest.raises(ValueError, match="do not belong together"):
        load_reader(tmp_path / "rude", TextTokenizer.train_bpe(["another text " * 20], 300).vocabulary)


def test_readers_are_found_by_name_and_vocabulary(tokenizer, tmp_path):
    from diffusionlm.text import TextTokenizer

    other = TextTokenizer.train_bpe(["another text " * 20], 300).vocabulary
    with pytest.raises(FileNotFoundError, match="diffusionlm train-classifier name=rude"):
        find_reader("rude", tokenizer.vocabulary)
    with pytest.raises(
        FileNotFoundError, match=r"2 of that name read .* comes with the checkpoints 'everyday' and 'guestbook'\. Train"
    ):
        find_reader("toxicity", tokenizer.vocabulary)
    for home, vocabulary in (("one", tokenizer.vocabulary), ("two", other)):
        make_reader(vocabulary).save_pretrained(tmp_path / home / "rude")
    with resources([tmp_path / "one", tmp_path / "two"]):
        assert find_reader("rude", tokenizer.vocabulary) == tmp_path / "one" / "rude"
        assert find_reader("rude", other) == tmp_path / "two" / "rude"
        with pytest.raises(FileNotFoundError, match="those that fit: rude"):
            find_reader("kind", other)
    with pytest.raises(FileNotFoundError, match="no reader 'rude'"):
        find_reader("rude", other)


def test_readers_belong_to_the_pipeline_that_brings_them(tiny_pipe, tmp_path):
    """A second pipeline of the same vocabulary does not change whom the first asks."""
    from diffusionlm import DiffusionLMPipeline
    from diffusionlm.guidance import Toxicity

    pipes = []
    for name, seed in (("first", 0), ("second", 1)):
        tiny_pipe.save_pretrained(tmp_path / name)
        torch.manual_seed(seed)
        make_reader(tiny_pipe.tokenizer.vocabulary).save_pretrained(tmp_path / name / "readers" / "rude")
        pipes.append(DiffusionLMPipeline.from_pretrained(tmp_path / name))
        pipes[-1].set_progress_bar_config(disable=True)

    def asked(pipe):
        guidance = Toxicity("rude", below=None, attempts=1)
        return pipe(steps=2, seed=0, max_length=8, guidance=guidance).trace.batches[0].finished["toxicity"]

    before = asked(pipes[0])
    assert asked(pipes[1]) != before
    assert asked(pipes[0]) == before
    assert pipes[0].resources == [tmp_path / "first" / "readers"]
    with pytest.raises(FileNotFoundError, match="no reader 'rude'"):
        tiny_pipe(steps=2, seed=0, guidance=Toxicity("rude"))


def test_damaged_weights_are_refused(tokenizer, tmp_path):
    make_reader(tokenizer.vocabulary).save_pretrained(tmp_path / "rude")
    file = tmp_path / "rude" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read"):
        load_reader(tmp_path / "rude", tokenizer.vocabulary)
