"""Context is encoded once; spans read it at every step."""

import pytest
import torch
from torch.nn import functional as F

from diffusionlm.denoiser import CANVAS, PROMPT, RETRIEVED, ContextMemory
from diffusionlm.diffusion.process import token_log_likelihood

GAMMA = torch.tensor([0.5, -1.0])


def ids(*shape):
    return torch.randint(0, 24, shape)


def latents(*shape):
    return torch.randn(*shape, 8)


def joint_pass(model, known_ids, known_mask, known_positions, z, span_mask, span_positions, gamma):
    """The specification: one pass over [known, spans] in which known positions see known positions only."""
    known = model.context_in(model.embed(known_ids)) + model.segments[CANVAS]
    spans = model.span_in(torch.cat((z, torch.zeros_like(z)), -1)) + model.segments[CANVAS]
    (batch, m), length = known_ids.shape, z.shape[1]
    hidden = torch.cat((known, spans), 1)
    condition = torch.cat(
        (
            model.context_condition[None].expand(batch, m, -1),
            model.noise_level(gamma)[:, None].expand(batch, length, -1),
        ),
        1,
    )
    seen = torch.cat((known_mask, span_mask), 1)[:, None, None, :].repeat(1, 1, m + length, 1)
    seen[:, :, :m, m:] = False
    rotation = model.rotary(torch.cat((known_positions, span_positions), 1))
    for block in model.blocks:
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = block.modulation(F.silu(condition)).chunk(6, -1)
        mixed, _ = block.attention(block.attention_norm(hidden) * (1 + scale_a) + shift_a, seen, rotation)
        hidden = hidden + gate_a * mixed
        fed, _ = block.feed_forward(block.feed_forward_norm(hidden) * (1 + scale_f) + shift_f)
        hidden = hidden + gate_f * fed
    logits = model.head(model.out_norm(hidden[:, m:]))
    return logits + token_log_likelihood(z, model.unit_embeddings(), gamma)


def test_encoding_once_equals_the_joint_pass_in_which_known_tokens_never_look_at_spans(tiny):
    model = tiny()
    known_ids, z = ids(2, 6), latents(2, 3)
    known_mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], dtype=torch.bool)
    span_mask = torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    known_positions = torch.tensor([[0, 1, 2, 6, 7, 8], [3, 4, 5, 0, 0, 0]])
    span_positions = torch.tensor([[3, 4, 5], [0, 1, 2]])
    memory = model.encode_context(known_ids, mask=known_mask, position_ids=known_positions)
    cached = model(z, GAMMA, memory, span_mask=span_mask, position_ids=span_positions).logits
    whole = joint_pass(model, known_ids, known_mask, known_positions, z, span_mask, span_positions, GAMMA)
    torch.testing.assert_close(cached[span_mask], whole[span_mask], rtol=1e-4, atol=1e-4)


def test_the_memory_matters_and_its_padding_does_not(tiny):
    model, z = tiny(), latents(1, 3)
    known = ids(1, 4)
    plain = model(z, GAMMA[:1], model.encode_context(known)).logits
    padded_ids = torch.cat((known, ids(1, 5)), 1)
    mask = torch.arange(9)[None] < 4
    padded = model(z, GAMMA[:1], model.encode_context(padded_ids, mask=mask)).logits
    torch.testing.assert_close(padded, plain, rtol=1e-4, atol=1e-5)
    assert (model(z, GAMMA[:1]).logits - plain).abs().max() > 1e-2


def test_span_padding_does_not_change_the_positions_in_use(tiny):
    model, z = tiny(), latents(2, 5)
    memory = model.encode_context(ids(2, 4))
    mask = (torch.arange(5) < 3).expand(2, -1)
    short = model(z[:, :3], GAMMA, memory).logits
    long = model(z, GAMMA, memory, span_mask=mask).logits[:, :3]
    torch.testing.assert_close(long, short, rtol=1e-4, atol=1e-5)


def test_a_sample_does_not_depend_on_its_place_in_the_batch(tiny):
    model, z, known = tiny(), latents(4, 3), ids(4, 5)
    gamma, order = torch.randn(4), torch.tensor([2, 0, 3, 1])
    straight = model(z, gamma, model.encode_context(known), z).logits
    shuffled = model(z[order], gamma[order], model.encode_context(known[order]), z[order]).logits
    torch.testing.assert_close(shuffled, straight[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2])
def test_repeat_serves_many_samples_of_one_input(tiny, batch):
    model, known, z = tiny(), ids(batch, 5), latents(3 * batch, 4)
    gamma = torch.tensor(0.0)
    repeated = model.encode_context(known).repeat(3)
    assert repeated.batch_size == 3 * batch
    encoded = model.encode_context(known.repeat_interleave(3, 0))
    torch.testing.assert_close(model(z, gamma, repeated).logits, model(z, gamma, encoded).logits)


def test_the_repeats_of_one_sample_share_its_storage(tiny):
    memory = tiny().encode_context(ids(1, 5))
    assert memory.repeat(16).keys[0].data_ptr() == memory.keys[0].data_ptr()
    assert memory.repeat(16).keys[0].untyped_storage().nbytes() == memory.keys[0].untyped_storage().nbytes()
    assert memory.repeat(1) is memory
    with pytest.raises(ValueError, match="at least once, got 0"):
        memory.repeat(0)


def test_select_picks_rows_in_order(tiny):
    model, known, rows = tiny(), ids(3, 5), torch.tensor([2, 2, 0])
    selected, z = model.encode_context(known).select(rows), latents(3, 2)
    direct = model.encode_context(known[rows])
    torch.testing.assert_close(
        model(z, torch.tensor(0.0), selected).logits, model(z, torch.tensor(0.0), direct).logits, rtol=1e-4, atol=1e-5
    )


def test_several_sources_stand_side_by_side_in_any_order(tiny):
    model, z = tiny(), latents(2, 3)
    sources = [
        model.encode_context(ids(2, 4), segment=PROMPT, position_ids=torch.arange(-4, 0).expand(2, -1)),
        model.encode_context(ids(2, 3)),
        model.encode_context(inputs_embeds=latents(2, 2), segment=RETRIEVED),
    ]
    forward, backward = ContextMemory.concat(sources), ContextMemory.concat(sources[::-1])
    assert forward.length == 9
    out = model(z, GAMMA, forward).logits
    torch.testing.assert_close(out, model(z, GAMMA, backward).logits, rtol=1e-4, atol=1e-5)
    for left_out in range(3):
        rest = ContextMemory.concat([source for i, source in enumerate(sources) if i != left_out])
        assert (model(z, GAMMA, rest).logits - out).abs().max() > 1e-3
    assert ContextMemory.concat(sources[:1]) is sources[0]


def test_the_segment_tells_what_a_memory_is(tiny):
    model, known, z = tiny(), ids(1, 4), latents(1, 2)
    canvas, prompt = model.encode_context(known), model.encode_context(known, segment=PROMPT)
    difference = model(z, GAMMA[:1], canvas).logits - model(z, GAMMA[:1], prompt).logits
    assert difference.abs().max() > 1e-4


def test_a_memory_may_be_kept_in_half_precision(tiny):
    model, z = tiny(), latents(2, 3)
    memory = model.encode_context(ids(2, 5))
    half = memory.to(dtype=torch.bfloat16)
    assert half.keys[0].dtype == torch.bfloat16
    assert half.mask.dtype == torch.bool
    assert half.position_ids.dtype == memory.position_ids.dtype
    torch.testing.assert_close(model(z, GAMMA, half).logits, model(z, GAMMA, memory).logits, rtol=0, atol=0.1)


def test_the_room_for_joined_keys_changes_nothing(tiny):
    model, z = tiny(), latents(2, 3)
    memory = model.encode_context(ids(2, 5))
    recorded = model(z, GAMMA, memory).logits  # gradients on: every block joins into tensors of its own
    assert recorded.requires_grad
    with torch.no_grad():
        assert torch.equal(model(z, GAMMA, memory).logits, recorded)
        assert torch.equal(model(z, GAMMA, memory).logits, recorded)


def test_gradients_reach_the_context(tiny):
    model, embeds = tiny(), latents(1, 4).requires_grad_()
    model(latents(1, 2), GAMMA[:1], model.encode_context(inputs_embeds=embeds)).logits.square().mean().backward()
    assert (embeds.grad.abs().amax(-1) > 0).all()


def test_a_row_without_context_is_as_if_there_were_no_memory(tiny):
    model, z = tiny(), latents(2, 3)
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
    with_memory = model(z, GAMMA, model.encode_context(ids(2, 4), mask=mask)).logits
    torch.testing.assert_close(with_memory[1], model(z, GAMMA).logits[1], rtol=1e-4, atol=1e-5)


def test_memories_that_do_not_fit_are_refused(tiny):
    model, z = tiny(), latents(2, 3)
    memory = model.encode_context(ids(3, 4))
    with pytest.raises(ValueError, match=r"memory holds 3 samples, the latents 2; see memory\.repeat"):
        model(z, GAMMA, memory)
    with pytest.raises(ValueError, match="made by another model: blocks, heads, head size"):
        model(z, GAMMA, tiny(num_hidden_layers=1).encode_context(ids(2, 4)))
    with pytest.raises(ValueError, match="agree in batch size"):
        ContextMemory.concat([memory, model.encode_context(ids(2, 4))])
    with pytest.raises(ValueError, match="at least one memory"):
        ContextMemory.concat([])


def test_context_of_a_wrong_form_is_refused(tiny):
    model = tiny()
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model.encode_context()
    with pytest.raises(ValueError, match="at least one position"):
        model.encode_context(ids(2, 0))
    with pytest.raises(ValueError, match="segment must lie in 0..3, got 7"):
        model.encode_context(ids(2, 3), segment=7)
    with pytest.raises(ValueError, match=r"inputs_embeds \(B, M, 8\), got \(2, 3, 5\)"):
        model.encode_context(inputs_embeds=torch.randn(2, 3, 5))
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        model.encode_context(ids(3))
    with pytest.raises(ValueError, match=r"mask must have the shape \(2, 3\), got \(2, 4\)"):
        model.encode_context(ids(2, 3), mask=torch.ones(2, 4, dtype=torch.bool))
