"""Writing that a kill or a full disk cannot spoil: everything is written aside, forced to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRAFT, _STALE = ".draft_", ".stale_"


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A draft folder that takes the place of ``target`` when the block ends, and vanishes when it raises.

    At no moment is there a half-written ``target``: the old one, if there was one, is moved aside before the draft is
    moved in.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, stale = target.parent / f"{_DRAFT}{target.name}", target.parent / f"{_STALE}{target.name}"
    for left_over in (draft, stale):
        shutil.rmtree(left_over, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        for path in draft.rglob("*"):
            _force_to_disk(path)
        _force_to_disk(draft)
        if target.exists():
            target.rename(stale)
        draft.rename(target)
        _force_to_disk(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(stale, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Writes a small text file in one go."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{_DRAFT}{target.name}")
    try:
        draft.write_text(text, encoding="utf-8")
        _force_to_disk(draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Removes a folder; a kill in the middle leaves it under another name, never half of it under its own."""
    stale = folder.parent / f"{_STALE}{folder.name}"
    shutil.rmtree(stale, ignore_errors=True)
    folder.rename(stale)
    shutil.rmtree(stale, ignore_errors=True)


def remove_left_overs(folder: Path) -> None:
    """Removes what killed writers left in ``folder``."""
    for path in (*folder.glob(f"{_DRAFT}*"), *folder.glob(f"{_STALE}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _force_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
