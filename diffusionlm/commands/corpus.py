"""``diffusionlm corpus``: writes a corpus that is made, not found."""

from __future__ import annotations

SUMMARY = "Write an invented training corpus (guestbook)"
HELP = """usage: diffusionlm corpus guestbook --out FOLDER [--size N] [--seed N] [--templates FILE]

Writes train.jsonl, valid.jsonl and test.jsonl: comments of guests on pubs, restaurants, hotels, cafes, museums, shops and
tours, made by a grammar. About a third is rude, about a third tells invented personal data. Each row has text, prompt,
toxic (0 or 1), labels and spans ([start, end, TYPE] in characters). The same seed gives the same bytes.
Needs Faker: pip install 'diffusionlm-toolkit[corpora]'

  diffusionlm corpus guestbook --out data/guestbook
  diffusionlm train experiment=guestbook data.root=data            (and E2E in data/e2e)

options:
  --out FOLDER       where the files are written; made if it is not there
  --size N           texts of train.jsonl (60000)
  --valid N          texts of valid.jsonl (1000)
  --test N           texts of test.jsonl (2000)
  --seed N           another seed, another corpus (0)
  --templates FILE   also fill these sentences, which have slots such as {{credit_card_number}}
  -h, --help         show this text
"""
_NUMBERS = {"--size": "size", "--valid": "valid_size", "--test": "test_size", "--seed": "seed"}
_OPTIONS = (*_NUMBERS, "--out", "--templates", "--help")


def main(argv: list[str]) -> int:
    """Writes the corpus that the first argument names."""
    if any(argument in ("-h", "--help") for argument in argv):
        print(HELP, end="")
        return 0
    if not argv or argv[0] != "guestbook":
        given = repr(argv[0]) if argv else "nothing"
        raise ValueError(f"Name the corpus to write, there is 'guestbook'; got {given}.")
    settings = _settings(argv[1:])
    if "out" not in settings:
        raise ValueError("Say where to write: --out FOLDER.")
    from diffusionlm.text.guestbook import write_corpus

    folder = settings.pop("out")
    figures = write_corpus(folder, **settings)
    print(
        f"{figures['texts']:,} texts in {folder}/train.jsonl: {figures['rude']:.0%} rude, {figures['leaking']:.0%} with "
        f"invented personal data, {figures['words']:.1f} words each"
    )
    return 0


def _settings(arguments: list[str]) -> dict:
    import difflib

    settings: dict = {}
    rest = [part for argument in arguments for part in (argument.split("=", 1) if "--" in argument[:2] else [argument])]
    while rest:
        option = rest.pop(0)
        if option not in _OPTIONS:
            near = difflib.get_close_matches(option, _OPTIONS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(_OPTIONS)}."
            raise ValueError(f"There is no option {option!r}; {hint}")
        if not rest:
            raise ValueError(f"{option} needs a value.")
        value = rest.pop(0)
        if option in _NUMBERS:
            if not value.isdecimal():
                raise ValueError(f"{option} needs a whole number, got {value!r}.")
            settings[_NUMBERS[option]] = int(value)
        else:
            settings[option.lstrip("-")] = value
    return settings
