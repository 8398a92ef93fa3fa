"""Personal data: `PII` forbids what has a fixed form, exactly; `PersonalNames` lowers the share of what has none, and
`DigitRuns` keeps numbers from being begun.

patterns says what each kind looks like, search finds it with `re`, automaton and luhn make automata of it, secrets are
texts of the caller's own, names asks a reader, and presidio is a judge apart from all of these.
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
