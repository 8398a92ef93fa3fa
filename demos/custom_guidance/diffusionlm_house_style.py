"""House style: one plugin that is an energy and one that is a rule which always holds."""

from diffusionlm.guidance import Constraint, Guidance, automata, register


@register("no-shouting")
class NoShouting(Guidance):
    """Lower the expected number of words in capitals.

    Args:
        least: letters from which on a word in capitals is shouting; "I" and "UK" are none.
    """

    weight: float = 5.0
    least: int = 3

    def bind(self, vocabulary):
        self.shouts = vocabulary.where(lambda text: text.isupper() and len(text) >= self.least)

    def energy(self, state):
        return state.probs[..., self.shouts.to(state.device)].sum((-1, -2))


@register("full-stop")
class FullStop(Constraint):
    """The text ends with a sentence mark, always.

    Args:
        marks: which marks do.
    """

    marks: str = ".!?"

    def languages(self):
        inside = "".join("\\" + mark for mark in self.marks)
        return [automata.regex(rf"(.|\n)*[{inside}]").renamed(f"ends with one of {self.marks!r}")]
