"""Neighbouring tokens of the texts that were trained on, counted for the plugin `Bigrams`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusionlm.checkpoints.folders import READERS
from diffusionlm.checkpoints.loading import copy_guides
from diffusionlm.guidance.bigrams.plugin import READER
from diffusionlm.guidance.bigrams.tables import BigramTables

if TYPE_CHECKING:
    from pathlib import Path

    from diffusionlm.text import Vocabulary
    from diffusionlm.training.corpus import TokenCorpus


def write_counts(corpus: TokenCorpus, vocabulary: Vocabulary, draft: Path, older: Path) -> None:
    """Writes the counts into a checkpoint that is being written.

    Args:
        corpus: the texts.
        vocabulary: of the tokens that they were cut into.
        draft: folder of the checkpoint.
        older: the folder that it will replace; the guides there are taken over.

    Raises:
        OSError: if they cannot be written.
    """
    copy_guides([older / READERS], draft / READERS)
    texts = (corpus.text(row).tolist() for row in range(len(corpus)))
    tables = BigramTables.count(texts, vocabulary, {"data": f"{len(corpus):,} texts of the training"})
    tables.save(draft / READERS / READER)
