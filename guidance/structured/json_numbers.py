"""JSON numbers with bounds and multiples, written without exponent and without a negative zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from diffusionlm.guidance.automata import Language
from diffusionlm.guidance.automata.algebra import Budget, determinise
from diffusionlm.guidance.automata.alphabet import classify, partition

DIGITS = 15  # before the point, where a bound does not ask for more: what a double holds for sure
MAX_REMAINDERS = 2_000
_SYMBOLS = "0123456789-."


@dataclass(frozen=True)
class _Bound:
    """A bound on the magnitude of a number: |x| against ``whole``.``part``, strictly or not; least or most."""

    whole: str
    part: str
    least: bool
    strict: bool

    def holds(self, order: int) -> bool:
        """Whether a magnitude that compares with the bound like ``order`` (-1, 0, 1) is inside."""
        return not (self.strict if order == 0 else (order < 0) == self.least)


@dataclass(frozen=True)
class _State:
    """What was read: a sign; digits of the whole part, and the order so far against each bound; digits behind the point
    (-1 before it); the remainder; whether a digit was not zero, and whether the whole part is a lone zero."""

    negative: bool = False
    whole: int = 0
    orders: tuple[int, ...] = ()
    part: int = -1
    remainder: int = 0
    nonzero: bool = False
    zero: bool = False


def number(
    low: Decimal | None = None,
    high: Decimal | None = None,
    above: Decimal | None = None,
    below: Decimal | None = None,
    multiples: Iterable[Decimal] = (),
    decimals: int = 0,
    name: str = "a number",
) -> Language:
    """Numbers between bounds.

    Args:
        low, high: inclusive bounds.
        above, below: exclusive bounds.
        multiples: what they must be whole multiples of.
        decimals: most digits behind the point; 0 for integers without a point.
        name: of the language.

    Raises:
        ValueError: if the multiples need more than 2,000 remainders.
    """
    worth, modulus = _remainders(list(multiples), decimals)
    signed: dict[bool, list[_Bound]] = {False: [], True: []}
    possible = {False: True, True: True}
    for value, least, strict in ((low, True, False), (above, True, True), (high, False, False), (below, False, True)):
        if value is None:
            continue
        for negative in (False, True):
            own = -value if negative else value
            inner = least != negative
            if own < 0:  # every magnitude is above it
                possible[negative] &= inner
                continue
            whole, _, part = f"{abs(own):f}".partition(".")
            signed[negative].append(_Bound(whole.lstrip("0"), part.rstrip("0"), inner, strict))
    bounds = {negative: tuple(own) for negative, own in signed.items()}
    told = max(len(bound.whole) for own in (*bounds.values(), [_Bound("", "", True, False)]) for bound in own) + 1
    longest = max(DIGITS, told) if modulus == 1 else None  # with remainders, only bounds count digits
    cuts, classes, _ = partition([((ord(sign), ord(sign) + 1),) for sign in _SYMBOLS])
    width = int(classes.max()) + 1
    column = {int(classify(sign, cuts, classes)[0]): sign for sign in _SYMBOLS}

    def follow(state: _State | None, sign: str) -> _State | None:
        if state is None:
            return None
        own = bounds[state.negative]
        if sign == "-":
            fresh = state == _State(orders=(0,) * len(bounds[False])) and possible[True]
            return _State(True, orders=(0,) * len(bounds[True])) if fresh else None
        if not possible[state.negative] or (state.zero and state.part < 0 and sign != "."):
            return None
        if sign == ".":
            if state.part >= 0 or decimals == 0 or state.whole == 0:
                return None
            length = 0 if state.zero else state.whole
            settled = tuple(
                order if length == len(bound.whole) else (-1 if length < len(bound.whole) else 1)
                for order, bound in zip(state.orders, own, strict=True)
            )
            return _State(state.negative, 0, settled, 0, state.remainder, state.nonzero)
        digit = int(sign)
        remainder = (10 * state.remainder + digit) % modulus
        nonzero = state.nonzero or digit > 0
        if state.part < 0:
            if longest is not None and state.whole >= longest:
                return None
            orders = tuple(
                order or (_compare(sign, bound.whole[state.whole]) if state.whole < len(bound.whole) else 0)
                for order, bound in zip(state.orders, own, strict=True)
            )
            zero = state.whole == 0 and digit == 0
            return _State(state.negative, min(state.whole + 1, longest or told), orders, -1, remainder, nonzero, zero)
        if state.part >= (
            worth if digit else decimals
        ):  # a multiple of the steps has zeros behind what is worth writing
            return None
        if state.part >= worth:
            remainder = state.remainder
        orders = tuple(
            order or _compare(sign, (bound.part + "0" * decimals)[state.part])
            for order, bound in zip(state.orders, own, strict=True)
        )
        return _State(state.negative, 0, orders, state.part + 1, remainder, nonzero)

    def accepts(state: _State | None) -> bool:
        if state is None or (state.part < 0 and state.whole == 0) or state.part == 0:
            return False
        if not possible[state.negative] or (state.negative and not state.nonzero):
            return False
        read = max(state.part, 0)
        if state.remainder * 10 ** max(worth - read, 0) % modulus:
            return False
        for order, bound in zip(state.orders, bounds[state.negative], strict=True):
            if state.part < 0:
                length = 0 if state.zero else state.whole
                order = order if length == len(bound.whole) else (-1 if length < len(bound.whole) else 1)
            order = order or (-1 if bound.part[read:].strip("0") else 0)
            if not bound.holds(order):
                return False
        return True

    def step_of(state: _State | None) -> list[_State | None]:
        return [follow(state, column[c]) if c in column else None for c in range(width)]

    begin: _State | None = _State(orders=(0,) * len(bounds[False]))
    delta, accepting = determinise(begin, step_of, accepts, Budget(f"The constraint {name}", 200_000, 20.0))
    return Language.from_arrays(name, cuts, classes, delta, accepting)


def _compare(digit: str, other: str) -> int:
    return (digit > other) - (digit < other)


def _remainders(multiples: list[Decimal], decimals: int) -> tuple[int, int]:
    """(d, m): the decimals worth writing, and what a number * 10**d must be a multiple of."""
    if not multiples:
        return decimals, 1
    step = Fraction(multiples[0])
    for multiple in map(Fraction, multiples[1:]):
        step = step * multiple / _common_divisor(step, multiple)
    worth = next((d for d in range(decimals) if (step * 10**d).denominator == 1), decimals)
    unit = Fraction(1, 10**worth)
    modulus = step * unit / _common_divisor(step, unit) / unit
    assert modulus.denominator == 1  # a multiple of the unit
    if modulus.numerator > MAX_REMAINDERS:
        raise ValueError(
            f"multiples of {' and '.join(map(str, multiples))} need {modulus.numerator:,} remainders to be told apart, at most "
            f"{MAX_REMAINDERS:,} are possible"
        )
    return worth, modulus.numerator


def _common_divisor(a: Fraction, b: Fraction) -> Fraction:
    while b:
        a, b = b, a % b
    return a
