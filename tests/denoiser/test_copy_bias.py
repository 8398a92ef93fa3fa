"""The bias of pairs: which pairs examples share, what it adds by brute force, and whom it leaves alone."""

import torch

from diffusionlm.denoiser import Places
from diffusionlm.denoiser.copy_bias import CopyBias

EXAMPLES = [[5, 6, 7, 2], [3, 5, 6, 7], [5, 6, 9], [2, 3, 5, 6, 6]]


def test_pairs_that_most_examples_have_are_kept():
    bias = CopyBias.of_examples(EXAMPLES, share=0.6, nats=4.0)
    pairs = [(int(bias.tokens[a]), int(bias.tokens[b])) for a, b in bias.table.nonzero().tolist()]
    assert pairs == [(5, 6)]
    assert {(5, 6), (6, 7), (3, 5)} == {
        (int(more.tokens[a]), int(more.tokens[b]))
        for more in [CopyBias.of_examples(EXAMPLES, share=0.5)]
        for a, b in more.table.nonzero().tolist()
    }
    assert CopyBias.of_examples([[1, 2, 3]]) is None  # one text shares nothing with others
    assert CopyBias.of_examples([[1, 2], [3, 4]]) is None


def test_what_is_added_is_the_expectation_over_both_neighbours():
    torch.manual_seed(0)
    bias = CopyBias(torch.tensor([2, 4, 5]), torch.rand(3, 3))
    probs, logits = torch.rand(3, 5, 7).softmax(-1), torch.randn(3, 5, 7)
    positions = torch.tensor([[0, 1, 2, 5, 6]] * 3)  # a gap of known text between 2 and 5
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[0, 4] = False
    places = Places(mask, positions, torch.zeros(3, 5).bool(), (7,) * 3)
    rows = torch.tensor([True, False, True])
    expected = logits.clone()
    for row, first, second in [(0, 0, 1), (0, 1, 2), (2, 0, 1), (2, 1, 2), (2, 3, 4)]:
        for i, a in enumerate(bias.tokens.tolist()):
            for j, b in enumerate(bias.tokens.tolist()):
                expected[row, second, b] += probs[row, first, a] * bias.table[i, j]
                expected[row, first, a] += probs[row, second, b] * bias.table[i, j]
    torch.testing.assert_close(bias.add(logits, probs, places, rows), expected)
    assert torch.equal(bias.add(logits, probs, places, rows)[1], logits[1])
