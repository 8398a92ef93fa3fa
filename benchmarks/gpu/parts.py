"""Files too large to be carried, as parts with a list of checksums, and whole again.

python -m benchmarks.gpu.parts join DOWNLOADED runs/everyday_large
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

LIST = "parts.json"
PART_BYTES = 15 << 20  # of the 16 MiB that a file may have
CARRIED_BYTES = 56 << 20  # of the 64 MiB that one command brings back


def split(folder: Path, parts: Path, size: int = PART_BYTES) -> list[Path]:
    """Cuts every file of ``folder`` into parts of ``size`` bytes and less; returns them, the list of checksums first."""
    parts.mkdir(parents=True, exist_ok=True)
    listed, written = {}, []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content, name = file.read_bytes(), file.relative_to(folder).as_posix()
        names = []
        for number, start in enumerate(range(0, max(len(content), 1), size)):
            part = parts / f"{name.replace('/', '__')}.part{number:03d}"
            part.write_bytes(content[start : start + size])
            names.append(part.name)
            written.append(part)
        listed[name] = {"sha256": hashlib.sha256(content).hexdigest(), "parts": names}
    (parts / LIST).write_text(json.dumps(listed, indent=1))
    return [parts / LIST, *written]


def join(parts: Path, folder: Path) -> list[Path]:
    """Writes the files whose parts are in ``parts`` (at any depth) to ``folder``, checked.

    Raises:
        FileNotFoundError: if a part is missing; the message names those that are.
        ValueError: if a file is not what it was.
    """
    found = {path.name: path for path in sorted(parts.rglob("*")) if path.is_file()}
    if LIST not in found:
        raise FileNotFoundError(f"There is no {LIST} in {parts}; give the folder that holds what run.sh brought back.")
    listed = json.loads(found[LIST].read_text())
    missing = [name for entry in listed.values() for name in entry["parts"] if name not in found]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} parts are missing in {parts}, 'run.sh rest' brings them: {', '.join(missing)}"
        )
    written = []
    for name, entry in listed.items():
        content = b"".join(found[part].read_bytes() for part in entry["parts"])
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ValueError(f"{name} is not what was sent: its SHA-256 differs; fetch its parts again.")
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        written.append(target)
    return written


def carry(files: list[Path], out: Path, rest: Path, most: int = CARRIED_BYTES) -> int:
    """Copies files to ``out`` as long as they fit into ``most`` bytes, the others to ``rest``; returns how many those are."""
    for folder in (out, rest):
        folder.mkdir(parents=True, exist_ok=True)
    used = left = 0
    for file in files:
        used += file.stat().st_size
        fits = used <= most
        left += not fits
        ((out if fits else rest) / file.name).write_bytes(file.read_bytes())
    return left


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] != "join":
        sys.exit(__doc__)
    for path in join(Path(sys.argv[2]), Path(sys.argv[3])):
        print(path)
