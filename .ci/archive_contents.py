"""Check that built archives hold every file of the library: ``archive_contents.py dist/*.whl dist/*.tar.gz``.

What ought to be there is read from the working tree, links followed: a forgotten pattern in pyproject.toml shows here.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

SKIPPED_SUFFIXES = {".pyc", ".pyo"}


def library_files(root: Path) -> set[str]:
    """The library's files relative to ``root``, under the names they are imported by."""
    found = set()
    for folder in [root / "diffusionlm", *(path for path in (root / "diffusionlm").iterdir() if path.is_symlink())]:
        for path in folder.resolve().rglob("*"):
            hidden = any(piece.startswith(".") for piece in path.relative_to(folder.resolve()).parts)
            if path.is_file() and not hidden and path.suffix not in SKIPPED_SUFFIXES:
                found.add(str(folder.relative_to(root) / path.relative_to(folder.resolve())))
    return found


def archive_files(archive: Path) -> set[str]:
    """The files in a wheel, or in a source archive without its leading folder."""
    if archive.suffix == ".whl":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as source:
        return {member.name.partition("/")[2] for member in source.getmembers() if not member.isdir()}


def main(archives: list[str]) -> int:
    """Report what is missing from each archive, or is in it and ought not to be."""
    expected = library_files(Path(__file__).resolve().parent.parent)
    failed = not archives
    for archive in map(Path, archives):
        found = archive_files(archive)
        missing = sorted(expected - found)
        foreign = sorted(
            name for name in found if archive.suffix == ".whl" and not name.startswith(("diffusionlm/", "diffusionlm_"))
        )
        for name in missing:
            print(f"{archive.name}: {name} is missing", file=sys.stderr)
        for name in foreign:
            print(f"{archive.name}: {name} does not belong in the wheel", file=sys.stderr)
        failed = failed or bool(missing or foreign)
        print(f"{archive.name}: {len(expected) - len(missing)} of {len(expected)} files of the library")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
