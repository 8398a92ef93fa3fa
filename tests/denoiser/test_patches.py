"""Patches of bytes: what is grouped, that places alone decide it, gradients, both processes, and their cost."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.denoiser.patches import Grouping

GAMMA = torch.tensor([0.3, -1.0])


def z_and_ids(length=7, rows=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, length, 8, generator=generator), torch.randint(1, 24, (rows, length), generator=generator)


@pytest.mark.parametrize("size", [2, 3, 4, 8])
def test_bytes_go_to_the_patch_of_their_place_and_come_back(size):
    generator = torch.Generator().manual_seed(size)
    for _ in range(20):
        rows, length = 3, 12
        chosen = [torch.randperm(40, generator=generator)[:length].sort().values - 15 for _ in range(rows)]
        places, values = torch.stack(chosen), torch.randn(rows, length, 5, generator=generator)
        mask = torch.rand(rows, length, generator=generator) < 0.7  # holes anywhere
        grouping = Grouping.of(places, mask, size)
        slots = grouping.gather(values)
        for row in range(rows):
            expected = {}
            for column in range(length):
                if mask[row, column]:
                    place = int(places[row, column])
                    expected.setdefault(place // size, {})[place % size] = values[row, column]
            assert grouping.places[row][grouping.mask[row]].tolist() == list(expected)
            for group, held in enumerate(expected.values()):
                for slot in range(size):
                    assert bool(grouping.slots[row, group, slot]) == (slot in held)
                    assert torch.equal(slots[row, group, slot], held.get(slot, torch.zeros(5)))
        assert torch.equal(grouping.spread(slots)[mask], values[mask])


def test_a_place_that_comes_again_begins_a_patch_of_its_own():
    grouping = Grouping.of(torch.tensor([[0, 1, 1, 0]]), None, 4)
    assert grouping.places.tolist() == [[0, 0, 0]]
    assert grouping.slots.sum(-1).tolist() == [[2, 1, 1]]


@pytest.mark.parametrize("process", ["gaussian", "masked"])
@pytest.mark.parametrize("settings", [{}, {"position_kind": "alibi"}, {"num_latents": 3}, {"num_experts": 2}])
def test_every_parameter_learns(tiny, settings, process):
    model, (z, ids) = tiny(patch_size=3, process=process, **settings), z_and_ids()
    open_mask = torch.ones(2, 7, dtype=torch.bool)
    z.requires_grad_()
    logits = model(z, GAMMA, model.encode_context(ids), z, open_mask=open_mask, likelihood_weight=0.0).logits
    assert logits.shape == (2, 7, 24)
    logits.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert bool(z.grad.flatten(0, 1).any(-1).all())  # every byte is seen


def test_patches_of_one_are_the_network_without_patches(tiny):
    plain, one = tiny(), tiny(patch_size=1)
    assert plain.state_dict().keys() == one.state_dict().keys()
    z, ids = z_and_ids()
    outputs = [model(z, GAMMA, model.encode_context(ids), z).logits for model in (plain, one)]
    assert torch.equal(*outputs)
    config = DenoiserConfig().to_dict()
    del config["patch_size"]  # as older checkpoints have it
    assert DenoiserConfig.from_dict(config).patch_size == 1


def test_spans_at_any_place_do_not_depend_on_padding_or_on_the_batch(tiny):
    model, (z, ids) = tiny(patch_size=4), z_and_ids()
    places = torch.tensor([[1, 2, 3, 9, 10, 11, 12], [5, 6, 0, 0, 0, 0, 0]])  # odd offsets, two spans, a gap
    mask = torch.tensor([[True] * 7, [True] * 2 + [False] * 5])
    known = torch.tensor([[0, 4, 5, 6, 7, 8, 13], [0, 1, 2, 3, 4, 7, 8]])
    with torch.no_grad():
        together = model(z, GAMMA, model.encode_context(ids, position_ids=known), z, mask, places).logits
        for row, count in ((0, 7), (1, 2)):
            memory = model.encode_context(ids[row : row + 1], position_ids=known[row : row + 1])
            part = z[row : row + 1, :count]
            alone = model(part, GAMMA[row : row + 1], memory, part, None, places[row : row + 1, :count]).logits
            torch.testing.assert_close(alone[0], together[row, :count], rtol=1e-4, atol=1e-5)
        moved = model(z, GAMMA, model.encode_context(ids, position_ids=known + 1), z, mask, places + 1).logits
    assert not torch.allclose(moved[0], together[0])  # the place within a patch counts


def test_a_byte_sees_those_of_the_patches_beside_it_but_not_across_a_gap(tiny):
    model, (z, _) = tiny(patch_size=2, num_hidden_layers=1), z_and_ids(6, 1)
    with torch.no_grad():
        model.patch_out.split.weight.zero_()  # the trunk is cut off: what is left is the local block
        places = torch.tensor([[0, 1, 2, 3, 8, 9]])
        z.requires_grad_()
    for at, sees in ((0, [0, 1, 2, 3]), (4, [4, 5])):
        (gradient,) = torch.autograd.grad(
            model(z, GAMMA[:1], position_ids=places, likelihood_weight=0.0).logits[0, at].sum(), z
        )
        assert gradient[0].any(-1).nonzero().flatten().tolist() == sees


def test_memory_in_patches_is_shorter_and_its_masked_bytes_are_not_seen(tiny):
    model, (_, ids) = tiny(patch_size=4), z_and_ids()
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[:, 5] = False
    positions = torch.arange(-7, 0).expand(2, -1)  # a prompt
    memory = model.encode_context(ids, None, mask, positions, 1)
    assert memory.length == 2
    assert memory.position_ids[0].tolist() == [-2, -1]
    other = ids.clone()
    other[:, 5] = 9
    assert torch.equal(model.encode_context(other, None, mask, positions, 1).keys[0], memory.keys[0])


@pytest.mark.parametrize("given", [0, 9, 2.0, True, "4"])
def test_other_sizes_are_refused(given):
    with pytest.raises(ValueError, match=r"patch_size must be an integer from 1 \(no patches\) to 8"):
        DenoiserConfig(patch_size=given)


def test_rope_that_counts_tokens_is_refused():
    with pytest.raises(ValueError, match="rope_type 'dynamic' counts tokens"):
        DenoiserConfig(patch_size=4, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0})


def test_patches_of_four_cost_less_than_a_third_of_flat_bytes():
    counts = []
    for size in (1, 4):
        model = SpanDenoiser(
            DenoiserConfig(
                vocab_size=257,
                hidden_size=192,
                num_hidden_layers=6,
                num_attention_heads=4,
                intermediate_size=512,
                patch_size=size,
            )
        )
        z = torch.randn(1, 256, 64)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(z, GAMMA[:1], model.encode_context(torch.ones(1, 64, dtype=torch.long)))
        counts.append(counter.get_total_flops())
    assert counts[0] > 3 * counts[1]
