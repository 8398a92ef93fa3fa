"""Writing that a kill or a full disk cannot spoil: everything is written aside, forced to disk, then takes its place at once.

A folder takes the place of another by an exchange of the two names, which Linux and macOS make in one step. Where the file
system cannot (network drives, Windows) there is a moment in which the old folder is aside and the new one not there yet; who
reads or writes there next puts it back (`recover`).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRAFT, _STALE, _GOING = ".draft_", ".stale_", ".going_"  # being written, replaced, removed
_HERE = -100  # AT_FDCWD
_LINUX_EXCHANGE, _MACOS_SWAP = 2, 2


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A draft folder that takes the place of ``target`` when the block ends, and vanishes when it raises.

    At no moment is there a half-written ``target``, nor none where there was one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, stale = _draft_of(target), _stale_of(target)
    recover(target)
    for left_over in (draft, stale):
        shutil.rmtree(left_over, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        for path in draft.rglob("*"):
            _force_to_disk(path)
        _force_to_disk(draft)
        if not target.exists():
            draft.rename(target)
        elif _exchange(draft, target):
            draft.rename(stale)
        else:
            target.rename(stale)
            draft.rename(target)
        _force_to_disk(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(stale, ignore_errors=True)


def recover(target: Path) -> None:
    """Puts a folder back that a kill caught between two names, when the file system knows no exchange."""
    stale = _stale_of(target)
    if stale.is_dir() and not target.exists():
        stale.rename(target)


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
    going = folder.parent / f"{_GOING}{folder.name}"
    shutil.rmtree(going, ignore_errors=True)
    folder.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def remove_left_overs(folder: Path) -> None:
    """Removes what killed writers left in ``folder``; what they had put aside and not replaced yet is put back."""
    for path in folder.glob(f"{_STALE}*"):
        recover(folder / path.name.removeprefix(_STALE))
    for path in (path for mark in (_DRAFT, _STALE, _GOING) for path in folder.glob(f"{mark}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _draft_of(target: Path) -> Path:
    return target.parent / f"{_DRAFT}{target.name}"


def _stale_of(target: Path) -> Path:
    return target.parent / f"{_STALE}{target.name}"


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False where the system or the file system cannot."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, _MACOS_SWAP) == 0)
        if sys.platform == "linux":
            return bool(library.renameat2(_HERE, names[0], _HERE, names[1], _LINUX_EXCHANGE) == 0)
    except (AttributeError, OSError):  # an old C library
        pass
    return False


def _force_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
