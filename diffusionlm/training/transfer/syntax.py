"""Guides of syntax for a vocabulary: the bundled tagger reads texts of the model; constituents and arcs are runs of tags, of
any vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffusionlm.checkpoints.files import atomic_folder
from diffusionlm.checkpoints.folders import BUNDLED
from diffusionlm.guidance.classifiers.store import FOLDER
from diffusionlm.guidance.syntax.windows import load_windows
from diffusionlm.training.syntax.files import bundled_tagger
from diffusionlm.training.syntax.silver import make_tables

if TYPE_CHECKING:
    from diffusionlm.text import TextTokenizer

SOURCE = "guestbook"  # the checkpoint whose runs of tags are taken: counted on everyday English and GUM
SYNTAX = ("part-of-speech", "constituents", "dependencies")


def transfer_syntax(
    tokenizer: TextTokenizer,
    pairs: Sequence[tuple[str, str]],
    target: Path,
    say: Callable[[str], None] = print,
) -> None:
    """Writes the folders "part-of-speech", "constituents" and "dependencies" below ``target``.

    Args:
        tokenizer: whose tokens are counted.
        pairs: conditions and texts such as the model writes.
        target: folder for the three.
        say: told what was made.

    Raises:
        ValueError: if the texts hold no words.
    """
    data = f"{len(pairs):,} texts, tagged by the tagger in the package (UD_English-EWT and Atis, CC BY-SA 4.0)"
    tables = make_tables(tokenizer, pairs, [bundled_tagger()], {"data": data})
    if not len(tables.opening):
        raise ValueError(
            f"The {len(pairs)} texts hold no words, so there is nothing to count; give others with --texts."
        )
    with atomic_folder(target / SYNTAX[0]) as draft:
        tables.save(draft)
    say(f"part-of-speech: {len(tables.opening):,} counts")
    for name in SYNTAX[1:]:
        windows = load_windows(BUNDLED / SOURCE / FOLDER / name)
        with atomic_folder(target / name) as draft:
            windows.save(draft, tokenizer.vocabulary.fingerprint)
        say(f"{name}: {len(windows.label):,} runs of tags, those of {SOURCE}")
