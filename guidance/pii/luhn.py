"""The Luhn sum of card numbers, as an automaton and in plain Python.

Luhn (1960; ISO/IEC 7812-1): from the right, every second digit is doubled, 9 is taken off what exceeds 9, and the sum of
all is a multiple of 10. Read from the left, which digits are doubled depends on how many are still to come; so the
automaton carries the sums for both parities and looks at the right one where the number ends.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from diffusionlm.guidance.automata.alphabet import Bools, Ints, matching_characters
from diffusionlm.guidance.automata.language import Language, one_of_classes

LEAST, MOST = 13, 19
"""Digits of a card number (ISO/IEC 7812-1 allows up to 19)."""


def luhn_valid(digits: str) -> bool:
    """Whether a string of ASCII digits has a valid Luhn sum.

    Example:
        >>> luhn_valid("4111111111111111"), luhn_valid("4111111111111112")
        (True, False)
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@lru_cache(maxsize=4)
def card_numbers(separator: str, least: int = LEAST, most: int = MOST) -> Language:
    """Texts of `least` to `most` digits, any number of separators allowed between two, whose Luhn sum is valid.

    Args:
        separator: regular expression of one character.
        least, most: number of digits.
    """
    double = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]

    def build(member: Bools) -> tuple[Ints, Bools]:
        # state: ((digits read * 10 + sum if their number will be even) * 10 + sum if odd) * 2 + behind separators
        size = (most + 1) * 200
        dead = size
        delta = np.full((size + 1, member.shape[1]), dead, dtype=np.int64)
        read, even, odd, behind = (a.reshape(-1) for a in np.indices((most + 1, 10, 10, 2)))
        for digit in range(10):
            first = read % 2 == 0  # is the next digit at an odd place, counted from 1?
            more_even = (even + np.where(first, double[digit], digit)) % 10
            more_odd = (odd + np.where(first, digit, double[digit])) % 10
            target = (((read + 1) * 10 + more_even) * 10 + more_odd) * 2
            delta[:size, member[digit]] = np.where(read < most, target, dead)[:, None]
        delta[:size, member[10]] = np.where(read > 0, np.arange(size) + (behind == 0), dead)[:, None]
        total = np.where(read % 2 == 0, even, odd)
        accepting = np.append((read >= least) & (behind == 0) & (total == 0), False)
        return delta, accepting

    digits = [matching_characters(str(digit)) for digit in range(10)]
    return one_of_classes("card numbers with a valid sum", [*digits, matching_characters(separator)], build)
