"""`Recipe`: which sources a mix has and how they are cleaned; the shipped ones are files in ``configs/corpus``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from diffusionlm.corpora.open_mix.cleaning import MAX_WORDS, MIN_WORDS
from diffusionlm.corpora.open_mix.sources import COUNTED, FORMS, WITHOUT_FILE
from diffusionlm.errors import did_you_mean


@dataclass(frozen=True)
class Source:
    """One source; several of one name are one part of the mix.

    Attributes:
        name: as in ``source[name]``.
        form: how its file is written, a key of ``sources.FORMS``.
        what: it is, from whom, and its licence; said when the file is missing.
        file: inside the folder of sources; "" for a form that needs none.
        count: texts to make, for forms that are made.
        keep: share of its texts that are taken, by their hash.
        common: whether texts with a word that is not common in the mix are left out.
        careful: whether texts with a careless spelling are left out.
    """

    name: str
    form: str
    what: str
    file: str = ""
    count: int = 0
    keep: float = 1.0
    common: bool = True
    careful: bool = True

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            hint = did_you_mean(self.form, FORMS)
            raise ValueError(
                f"Unknown form {self.form!r} of the source {self.name!r}; allowed: {', '.join(FORMS)}.{hint}"
            )
        if bool(self.file) == (self.form in WITHOUT_FILE):
            needs = "takes no file" if self.file else "needs a file"
            raise ValueError(f"The source {self.name!r} of the form {self.form!r} {needs}.")
        if (self.count < 1) == (self.form in COUNTED):
            raise ValueError(
                f"At least 1 text is made for the source {self.name!r} of the form {self.form!r}, got {self.count}."
                if self.form in COUNTED
                else f"The source {self.name!r} of the form {self.form!r} is read, so it takes no count."
            )
        if not 0 < self.keep <= 1:
            raise ValueError(f"The share that is kept of {self.name!r} must lie in (0, 1], got {self.keep}.")


@dataclass(frozen=True)
class Recipe:
    """A mix.

    Attributes:
        sources: in the order in which they are read; of a text that two have, the first keeps it.
        min_words: of a text.
        max_words: of a text.
        common_words: size of the vocabulary that texts may use, the commonest words of all sources; 0: any word.
        careless: spellings for which a text is left out, where its source is ``careful``.
        repeats: how often a text may come as the reply to different turns.
        reply_share: of the texts that have a turn before them, how many have it as their prompt.
        tone_share: of the prompts by source, how many tell the tone too.
        valid_share: share of the texts that is held out.
        names: name -> names that take its place in found texts.

    Raises:
        ValueError: if a number is not allowed.
    """

    sources: tuple[Source, ...]
    min_words: int = MIN_WORDS
    max_words: int = MAX_WORDS
    common_words: int = 0
    careless: tuple[str, ...] = ()
    repeats: int = 1
    reply_share: float = 0.0
    tone_share: float = 0.5
    valid_share: float = 0.01
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("A recipe needs at least one source.")
        if not 0 < self.valid_share < 1:
            raise ValueError(f"The share that is held out must lie between 0 and 1, got {self.valid_share}.")
        for name in ("reply_share", "tone_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} of a recipe must lie in [0, 1], got {getattr(self, name)}.")
        if not 1 <= self.min_words <= self.max_words or self.repeats < 1 or self.common_words < 0:
            raise ValueError(
                "A recipe needs 1 <= min_words <= max_words, repeats of 1 or more and common_words of 0 or more; got "
                f"{self.min_words}, {self.max_words}, {self.repeats} and {self.common_words}."
            )

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of the mix, in order."""
        return tuple(dict.fromkeys(source.name for source in self.sources))


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    folder = files("diffusionlm.configs") / "corpus"
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


def load_recipe(name: str | Path) -> Recipe:
    """A recipe by its name, or from a YAML file.

    Raises:
        FileNotFoundError: if there is none; the message says which there are.
        ValueError: for a key or a value that is not allowed.
    """
    import yaml

    name = str(name)
    if name in shipped_recipes():
        text = (files("diffusionlm.configs") / "corpus" / f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        hint = did_you_mean(name, shipped_recipes())
        raise FileNotFoundError(
            f"There is no recipe {name!r}; there are {', '.join(shipped_recipes())}, or a file.{hint}"
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"The recipe {name!r} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict) or not isinstance(values.get("sources"), list):
        raise ValueError(f"The recipe {name!r} needs a list 'sources'.")
    values = {key.replace("-", "_"): value for key, value in values.items()}
    values["sources"] = tuple(
        Source(**_known(Source, entry, f"a source of the recipe {name!r}")) for entry in values["sources"]
    )
    values["careless"] = tuple(map(str, values.get("careless") or ()))
    values["names"] = {key: tuple(map(str, others)) for key, others in (values.get("names") or {}).items()}
    return Recipe(**_known(Recipe, values, f"the recipe {name!r}"))


def _known(kind: type, values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f"In {where}: expected names and values, got {values!r}.")
    known = {entry.name: entry for entry in fields(kind)}
    for key in values:
        if key not in known:
            hint = did_you_mean(key, known)
            raise ValueError(f"Unknown key {key!r} in {where}; allowed: {', '.join(known)}.{hint}")
    needed = [key for key in ("name", "form", "what") if kind is Source and key not in values]
    if needed:
        raise ValueError(f"{where.capitalize()} lacks {', '.join(needed)}: {values!r}.")
    for key, value in values.items():
        kinds = {"int": int, "float": (int, float), "bool": bool, "str": str}.get(str(known[key].type))
        if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)):  # type: ignore[arg-type]
            raise ValueError(f"{key} in {where} must be of type {known[key].type}, got {value!r}.")
    return values
