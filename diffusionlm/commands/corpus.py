"""``diffusionlm corpus``: writes a corpus that is made up, or mixed of found texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffusionlm.errors import nearest

if TYPE_CHECKING:
    from diffusionlm.corpora.open_mix.corpus import Counts

SUMMARY = "Write a training corpus: an invented one (guestbook), or a mix of found texts (open-mix)"
HELP = """usage: diffusionlm corpus guestbook --out FOLDER [--size N] [--seed N] [--templates FILE]
       diffusionlm corpus open-mix --sources FOLDER --out FOLDER [--recipe NAME] [--seed N]

guestbook writes train.jsonl, valid.jsonl and test.jsonl: comments of guests on pubs, restaurants, hotels, cafes, museums,
shops and tours, made by a grammar. About a third is rude, about a third tells invented personal data.

open-mix writes train.jsonl and valid.jsonl, and each source's part of them as train/NAME.jsonl and valid/NAME.jsonl, from
files that you have, by a recipe: open_mix (everyday sentences, stories, news comments, rude posts and their civil rewrites,
restaurants, requests with invented personal data) or everyday (short texts of common words: turns of dialogues as replies to
the turn before, captions, and the like), or a YAML file as in configs/corpus. Texts are cleaned, cut into runs of whole
sentences, and freed of doubles. Files that are missing are named, with what they are and where they come from; files that
end in .xz are read packed.

Each row has text, prompt, toxic (0 or 1), labels and spans ([start, end, TYPE] in characters); null is unknown. The same
seed gives the same bytes. Needs Faker: pip install 'diffusionlm-toolkit[corpora]'

  diffusionlm corpus guestbook --out data/guestbook
  diffusionlm train experiment=guestbook data.root=data            (and E2E in data/e2e)

  diffusionlm corpus open-mix --sources sources --out data/open-mix
  diffusionlm train experiment=open_mix data.root=data

  diffusionlm corpus open-mix --recipe everyday --sources sources --out data/everyday
  diffusionlm train experiment=everyday data.root=data

options:
  --out FOLDER       where the files are written; made if it is not there
  --seed N           another seed, another corpus (0)
  -h, --help         show this text
of guestbook:
  --size N           texts of train.jsonl (60000)
  --valid N          texts of valid.jsonl (1000)
  --test N           texts of test.jsonl (2000)
  --templates FILE   also fill these sentences, which have slots such as {{credit_card_number}}
of open-mix:
  --sources FOLDER   where the found texts are
  --recipe NAME      open_mix, everyday, or a file (open_mix)
  --requests N       texts to make of each source that is made: sentences of pii/templates.txt (12000), guestbook (30000)
  --valid-share X    share of the texts that is held out (as the recipe says: 0.01)
"""
_OPTIONS: dict[str, dict[str, tuple[str, type]]] = {  # corpus -> option -> what it sets, and as what
    "guestbook": {
        "--out": ("folder", str), "--seed": ("seed", int), "--size": ("size", int), "--valid": ("valid_size", int),
        "--test": ("test_size", int), "--templates": ("templates", str),
    },
    "open-mix": {
        "--out": ("folder", str), "--seed": ("seed", int), "--sources": ("source_folder", str),
        "--recipe": ("recipe", str), "--requests": ("requests", int), "--valid-share": ("valid_share", float),
    },
}  # fmt: skip


def main(argv: list[str]) -> int:
    """Writes the corpus that the first argument names."""
    if any(argument in ("-h", "--help") for argument in argv):
        print(HELP, end="")
        return 0
    if not argv or argv[0] not in _OPTIONS:
        given = repr(argv[0]) if argv else "nothing"
        raise ValueError(f"Name the corpus to write, there are 'guestbook' and 'open-mix'; got {given}.")
    settings = _settings(argv[1:], _OPTIONS[argv[0]])
    if "folder" not in settings:
        raise ValueError("Say where to write: --out FOLDER.")
    return _guestbook(settings) if argv[0] == "guestbook" else _open_mix(settings)


def _guestbook(settings: dict[str, Any]) -> int:
    from diffusionlm.corpora.guestbook import write_corpus

    figures = write_corpus(**settings)
    print(
        f"{figures['texts']:,} texts in {settings['folder']}/train.jsonl: {figures['rude']:.0%} rude, "
        f"{figures['leaking']:.0%} with invented personal data, {figures['words']:.1f} words each"
    )
    return 0


def _open_mix(settings: dict[str, Any]) -> int:
    if "source_folder" not in settings:
        raise ValueError("Say where the found texts are: --sources FOLDER ('diffusionlm corpus --help' lists them).")
    from diffusionlm.corpora.open_mix import write_corpus
    from diffusionlm.corpora.open_mix.corpus import Counts

    heads = [f"{'source':<12}{'train':>9}{'valid':>8}{'words each':>12}{'toxic':>9}{'doubles':>9}  left out"]

    def tell(name: str, counts: Counts) -> None:
        while heads:  # above the first row, not above the sentence about a mistake
            print(heads.pop())
        _print_row(name, counts)

    total = Counts()
    for counts in write_corpus(**settings, on_source=tell).values():
        total += counts
    _print_row("all", total)
    print(f"The texts are in {settings['folder']}/train.jsonl and valid.jsonl, each source's in train/ and valid/.")
    return 0


def _print_row(name: str, counts: Counts) -> None:
    texts = sum(counts.texts.values())
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in counts.dropped.most_common())
    print(
        f"{name:<12}{counts.texts['train']:>9,}{counts.texts['valid']:>8,}{counts.words / max(texts, 1):>12.1f}"
        f"{counts.toxic:>9,}{counts.doubles:>9,}  {reasons}",
        flush=True,
    )


def _settings(arguments: list[str], options: dict[str, tuple[str, type]]) -> dict[str, Any]:

    settings: dict[str, Any] = {}
    rest = [part for argument in arguments for part in (argument.split("=", 1) if "--" in argument[:2] else [argument])]
    while rest:
        option = rest.pop(0)
        if option not in options:
            near = nearest(option, options)
            hint = f"did you mean {near!r}?" if near else f"allowed are {', '.join((*options, '--help'))}."
            raise ValueError(f"There is no option {option!r}; {hint}")
        if not rest:
            raise ValueError(f"{option} needs a value.")
        value = rest.pop(0)
        name, kind = options[option]
        if kind is int and not value.isdecimal():
            raise ValueError(f"{option} needs a whole number, got {value!r}.")
        try:
            settings[name] = kind(value)
        except ValueError:
            raise ValueError(f"{option} needs a number, got {value!r}.") from None
    return settings
