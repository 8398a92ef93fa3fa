"""Compare our automata with Python's `re` on a million random strings.

    python benchmarks/automata_against_re.py [--strings 1000000]

Prints one line for each pattern and mode; exits with status 1 at the first string on which they differ.
"""

import argparse
import random
import re
import sys
import time

from diffusionlm.guidance import automata

PATTERNS = [
    r"a|ab",
    r"(a*b)+",
    r"^a.*b$",
    r"\ba\b",
    r"\Ba|b\B",
    r"a$",
    r"(?m)^a$",
    r"\Aa|a\Z",
    r"(?i)k.|ſ",
    r"(?s)a.b",
    r"[^a]{2,3}",
    r"[a-c\d_]+",
    r"(a|b)*a(a|b){3}",
    r"(\b|x)*a",
    r"(^|\s)a($|\s)",
    r"\d{3}-\d{4}",
    r"\w+@\w+\.com",
    r"(?a)\w\W\s",
    r"[\w-]+\s[^\s.]",
    r"[A-Z]\w*(?: [a-z]+){1,3}\.",
]
LETTERS = "aaabbbABkK  \n.11-_@éßſ\u212a\u00b2\u3000xcom"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strings", type=int, default=1_000_000, help="strings in total over all patterns and modes")
    arguments = parser.parse_args()
    each = -(-arguments.strings // (2 * len(PATTERNS)))
    rng = random.Random(0)
    total, started = 0, time.perf_counter()
    for pattern in PATTERNS:
        compiled = re.compile(pattern)
        for mode, call in (("matches", compiled.fullmatch), ("contains", compiled.search)):
            language = automata.regex(pattern, mode)
            texts = ["".join(rng.choices(LETTERS, k=rng.randint(0, 12))) for _ in range(each)]
            expected = [call(text) is not None for text in texts]
            found = language.accepts_each(texts).tolist()
            if wrong := [text for text, a, b in zip(texts, expected, found, strict=True) if a != b]:
                print(f"{mode} {pattern!r} differs from re on {len(wrong)} texts, for example {wrong[0]!r}")
                sys.exit(1)
            total += each
            print(f"{mode:9} {pattern:32} states {language.num_states:4}  accepted {sum(found) / each:6.1%}  equal")
    print(f"{total:,} strings, no difference, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
