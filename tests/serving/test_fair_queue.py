"""The queue: turns, groups, what is dropped."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from diffusionlm.serving.fair_queue import FairQueue


def test_a_client_with_much_does_not_hold_up_one_with_little() -> None:
    queue = FairQueue()
    for number in range(100):
        queue.push("greedy", "g", ("greedy", number))
    queue.push("modest", "g", ("modest", 0))
    first = queue.take(8)
    assert ("modest", 0) in first
    assert first[0] == ("greedy", 0)
    assert [number for client, number in first if client == "greedy"] == list(range(7))


def test_a_rare_group_gets_its_turn_among_many_of_another() -> None:
    queue = FairQueue()
    for client in "abc":
        for number in range(20):
            queue.push(client, "common", (client, number))
    queue.push("d", "rare", "rare one")
    taken = [queue.take(6) for _ in range(2)]
    assert ["rare one"] in taken


def test_a_client_s_own_groups_come_in_the_order_of_their_oldest_item() -> None:
    queue = FairQueue()
    for group, item in [("x", 1), ("y", 2), ("x", 3)]:
        queue.push("a", group, item)
    assert [queue.take(8), queue.take(8), queue.take(8)] == [[1, 3], [2], []]


def test_dropped_and_dead_items_do_not_come_and_do_not_count() -> None:
    queue = FairQueue()
    for item in range(10):
        queue.push("a", "g", item)
    assert queue.drop(lambda item: item % 2 == 0) == 5
    assert len(queue) == queue.waiting("a") == 5
    assert queue.take(8, live=lambda item: item > 4) == [5, 7, 9]
    assert len(queue) == queue.waiting("a") == 0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), max_size=60), st.integers(1, 9))
def test_everything_comes_once_in_batches_of_one_group_and_in_each_lane_s_order(pushed, most) -> None:
    queue = FairQueue()
    for number, (client, group) in enumerate(pushed):
        queue.push(client, group, (client, group, number))
    seen = []
    while batch := queue.take(most):
        assert len(batch) <= most
        assert len({group for _, group, _ in batch}) == 1
        seen += batch
    assert Counter(seen) == Counter((c, g, n) for n, (c, g) in enumerate(pushed))
    for lane in set(pushed):
        own = [number for client, group, number in seen if (client, group) == lane]
        assert own == sorted(own)
    assert len(queue) == 0
