"""What was compiled is kept within its bytes, newest first, whoever asks."""

import threading

import numpy as np
import pytest

from diffusionlm.guidance.automata import compile_language, regex
from diffusionlm.guidance.automata.kept import Kept, array_bytes
from diffusionlm.guidance.testing.toy import toy_vocabulary


def test_bytes_are_counted_and_the_oldest_goes_first():
    kept = Kept(megabytes=3)
    for key in "abc":
        kept.get(key, lambda: np.zeros(2**20, np.uint8))
    kept.get("a", lambda: pytest.fail("it is there"))
    kept.get("d", lambda: np.zeros(2**20, np.uint8))
    assert kept.bytes == 3 * 2**20
    made = []
    kept.get("b", lambda: made.append("b") or np.zeros(2**19, np.uint8))  # the oldest, as a was asked for
    assert made == ["b"]
    kept.get("large", lambda: np.zeros(2**23, np.uint8))
    assert (len(kept), kept.bytes) == (1, 2**23)  # the newest stays, however large
    kept.clear()
    assert (len(kept), kept.bytes) == (0, 0)


def test_what_fails_is_not_kept():
    kept = Kept()
    with pytest.raises(ZeroDivisionError):
        kept.get("x", lambda: 1 // 0)
    assert kept.get("x", lambda: 5) == 5


def test_arrays_inside_are_found_and_counted_once():
    automaton = compile_language(regex("the mill"), toy_vocabulary())
    own = automaton.delta.nbytes + automaton.token_class.nbytes + automaton.accepting.nbytes
    assert array_bytes(automaton) >= own
    assert array_bytes([automaton, automaton]) == array_bytes(automaton)
    assert array_bytes({"x": (np.zeros(4, np.int64), [np.zeros(2, np.int32)])}) == 40


def test_threads_that_ask_at_once_get_the_same_thing():
    kept, found, together = Kept(megabytes=0.001), [], threading.Barrier(8)

    def ask(number):
        together.wait()
        for round_ in range(200):
            found.append(kept.get((number + round_) % 5, lambda: np.zeros(64)).shape)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(64,)] * 1600
    assert kept.bytes <= 1048
