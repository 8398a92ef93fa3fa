"""Personal data: `PII` forbids what has a fixed form, exactly; `PersonalNames` lowers the share of what has none, and
`DigitRuns` keeps numbers from being begun.

folding makes the plain form in which all texts are read. patterns says what each kind looks like (harmless, dates and
written_otherwise what numbers, dates and disguises do), as the `Pattern` of kind; custom_kinds takes kinds of the caller's
own, search finds them with `re`, automaton, luhn and compiling make automata of them, reader is a second reader apart from
these, allowances puts aside what may be named, secrets are texts of the caller's own, names asks a reader, and presidio is a
judge apart from all of these.
"""

from diffusionlm.guidance.registry.lazy_exports import lazy_exports

_HOME_OF = {
    "DigitRuns": "digit_runs",
    "KINDS": "patterns",
    "PII": "plugin",
    "PersonalNames": "names",
    "PresidioJudge": "presidio",
}

__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = lazy_exports(__name__, _HOME_OF)
