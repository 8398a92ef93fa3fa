"""Where trained readers are: in the folders of checkpoints, found by name and by the vocabulary they were trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.resources import files as _files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffusionlm.errors import reason_of

if TYPE_CHECKING:
    from diffusionlm.guidance.classifiers.reader import Reader
    from diffusionlm.text import Vocabulary

FOLDER = "readers"  # of a checkpoint: one folder for each reader
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_BUNDLED = Path(str(_files("diffusionlm"))) / "weights"
_of_the_model: ContextVar[tuple[Path, ...]] = ContextVar("_of_the_model", default=())


@contextmanager
def resources(folders: Iterable[str | Path]) -> Iterator[None]:
    """Lets `find_reader` look into folders with one folder for each reader, first of all and within the block alone.

    They belong to the model that is steered: another pipeline in the same process has others.
    """
    token = _of_the_model.set(tuple(Path(folder).resolve() for folder in folders))
    try:
        yield
    finally:
        _of_the_model.reset(token)


def reader_folders() -> list[Path]:
    """Every reader that can be found, those of the model first, then those in the package."""
    homes = [*_of_the_model.get(), *sorted(_BUNDLED.glob(f"*/{FOLDER}"))]
    return [path.parent for home in homes for path in sorted(home.glob(f"*/{CONFIG}"))]


def find_reader(name: str, vocabulary: Vocabulary) -> Path:
    """The folder of a reader.

    Args:
        name: of the reader, such as "toxicity".
        vocabulary: of the model that it shall read; a reader of another vocabulary is not found.

    Raises:
        FileNotFoundError: if there is none, saying how to train one.
    """
    fitting: list[Path] = []
    others: list[Path] = []
    for folder in reader_folders():
        try:
            own = json.loads((folder / CONFIG).read_text()).get("vocabulary_fingerprint")
        except (OSError, ValueError):
            continue  # a draft, or no reader at all; what is asked for by path is read strictly
        (fitting if own == vocabulary.of_the_model else others).append(folder)
    for folder in fitting:
        if folder.name == name:
            return folder
    known = ", ".join(sorted({folder.name for folder in fitting})) or "none"
    elsewhere = sum(folder.name == name for folder in others)
    hint = f" ({elsewhere} of that name read{'s' * (elsewhere == 1)} other models' vocabularies)" if elsewhere else ""
    bundled = sorted(
        {folder.parent.parent.name for folder in others if folder.name == name and _BUNDLED in folder.parents}
    )
    unlabelled = "; or without labelled texts: diffusionlm guides --for CHECKPOINT" if bundled else ""
    with_it = f"checkpoint{'s' * (len(bundled) > 1)} {' and '.join(map(repr, bundled))}"
    ready = f" It comes with the {with_it}." if bundled else ""
    raise FileNotFoundError(
        f"There is no reader {name!r} for this model's vocabulary of {len(vocabulary)} tokens{hint}; those that fit: "
        f"{known}.{ready} Train one with: diffusionlm train-classifier name={name} checkpoint=CHECKPOINT data.train=FILE "
        f"export=CHECKPOINT/{FOLDER}/{name}{unlabelled}"
    )


def load_reader(name: str | Path, vocabulary: Vocabulary) -> Reader:
    """A reader by its name or folder, in evaluation mode, without gradients of its own; the last few are kept.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged or reads another vocabulary.
    """
    path = Path(name)
    if isinstance(name, str) and not (path / CONFIG).is_file() and len(path.parts) == 1:
        path = find_reader(name, vocabulary)
    if not (path / CONFIG).is_file():
        raise FileNotFoundError(
            f"The folder {path} holds no reader ({CONFIG} and model.safetensors); train one with: "
            f"diffusionlm train-classifier checkpoint=CHECKPOINT data.train=FILE export={path}"
        )
    path = path.resolve()
    reader = _load(path, tuple(sorted((file.name, file.stat().st_mtime_ns) for file in path.iterdir())))
    reader.check_vocabulary(vocabulary)
    return reader


def reader_from(given: Any, vocabulary: Vocabulary, what: str) -> Reader:
    """A reader from what a plugin was given: one by name or folder, a `Reader`, or a function that makes one.

    Args:
        given: any of these.
        vocabulary: of the model that it shall read.
        what: begins the message if it is none of them.

    Raises:
        FileNotFoundError: if there is no reader of that name.
        ValueError: if it is none of these, damaged, or reads another vocabulary.
    """
    from diffusionlm.guidance.classifiers.reader import Reader

    reader = given
    if isinstance(given, str | Path):
        reader = load_reader(given, vocabulary)
    elif callable(given) and not isinstance(given, Reader):
        reader = given(vocabulary)
    if not isinstance(reader, Reader):
        raise ValueError(
            f"{what} a reader by name or folder, a Reader, or a function that makes one for a vocabulary; got {given!r}."
        )
    reader.check_vocabulary(vocabulary)
    return reader


def save_reader(reader: Reader, folder: str | Path) -> None:
    """Writes a reader where `load_reader` reads it: ``config.json`` and ``model.safetensors``."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    reader.config.save_pretrained(folder)
    state = {name: value.detach().cpu().contiguous() for name, value in reader.state_dict().items()}
    save_file(state, folder / WEIGHTS, {"format": "pt"})
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)  # safetensors makes files for the owner alone


@lru_cache(maxsize=8)
def _load(path: Path, _state: tuple[tuple[str, int], ...]) -> Reader:
    from safetensors.torch import load_file

    from diffusionlm.guidance.classifiers.reader import Reader, ReaderConfig

    if not (path / WEIGHTS).is_file():
        raise FileNotFoundError(f"The reader in {path} has no {WEIGHTS}; copy or train it again.")
    file = path / CONFIG
    try:
        config = ReaderConfig.from_pretrained(path, local_files_only=True)
        with torch.random.fork_rng(devices=[]):
            reader = Reader(config)
        file = path / WEIGHTS
        reader.load_state_dict(load_file(file))
    except Exception as error:
        raise ValueError(f"The reader's {file} cannot be read ({reason_of(error)}); copy or train it again.") from error
    return reader.eval().requires_grad_(False)
