"""`LazyConstraint`: a rule made of parts, each of which joins only where it is broken.

Some rules are too large to be held at every step: thirty kinds of personal data side by side are thirty thousand states,
and most texts come near none of them. So a part of such a rule joins for a sample as soon as the likeliest text of a step
breaks it, and stays. The finished text is the most probable one that obeys the parts that joined; if it breaks another
part, that one joins too, until none is broken (cutting planes; Dantzig, Fulkerson and Johnson, 1954). What comes out is
the most probable text that obeys all parts, as if all had been there from the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from diffusionlm.diffusion import Posterior
from diffusionlm.errors import GuidanceError
from diffusionlm.guidance.automata import BoundAutomaton, Conditioned, TokenAutomaton, UnsatisfiableConstraint
from diffusionlm.guidance.constraints.constraint import Constraint, JointConstraint, bind_rules, by_canvas

if TYPE_CHECKING:
    from diffusionlm.guidance.weighted.bound import BoundChain
    from diffusionlm.spans import CanvasLayout
    from diffusionlm.text import Vocabulary

Ranges = Sequence[tuple[int, int]]
"""(start, end) in characters: what was written into each span."""


class LazyConstraint(Constraint):
    """Base of rules whose parts join where they are broken. A subclass defines `broken` and `part`."""

    lazy: ClassVar[bool] = True

    def automata(self, vocabulary: Vocabulary) -> list[TokenAutomaton]:
        """Rules that hold at every step; none here."""
        return []

    def broken(self, text: str, written: Ranges) -> list[str]:
        """Names of the parts that a text breaks, found by reading its characters; those that cost least first.

        Args:
            text: the whole text.
            written: what was generated of it.
        """
        raise TypeError(f"{type(self).__name__} has no parts; define broken(self, text, written) -> list of names.")

    def part(self, name: str, vocabulary: Vocabulary, finished: bool) -> TokenAutomaton | None:
        """The rule of a part.

        Args:
            name: from `broken`.
            vocabulary: surfaces of the tokens.
            finished: whether the text is being finished. Before that the part may be wider and simpler than the rule, or
                missing (None).
        """
        raise TypeError(f"{type(self).__name__} has no parts; define part(self, name, vocabulary, finished).")


def joint_constraint(
    plugins: Sequence[Constraint],
    layouts: Sequence[CanvasLayout],
    allowed: Sequence[Tensor],
    vocabulary: Vocabulary,
    committing: bool = False,
) -> JointConstraint:
    """All constraints of a call, lazy ones or not; arguments as of `LazyJointConstraint`."""
    if any(plugin.lazy for plugin in plugins):
        return LazyJointConstraint(plugins, layouts, allowed, vocabulary, committing)
    return JointConstraint(plugins, layouts, allowed, vocabulary)


class LazyJointConstraint(JointConstraint):
    """All constraints of a call where some are lazy; arguments as of `JointConstraint`, and

    Args:
        committing: whether tokens are decided on the way, as in a masked process. What was decided obeys the rules themselves
            and perhaps not the wider form that a part may have before the end, so parts are whole from the start.
    """

    def __init__(
        self,
        plugins: Sequence[Constraint],
        layouts: Sequence[CanvasLayout],
        allowed: Sequence[Tensor],
        vocabulary: Vocabulary,
        committing: bool = False,
    ) -> None:
        self.plugins = list(plugins)
        self.layouts, self.allowed, self.vocabulary = list(layouts), list(allowed), vocabulary
        self.committing = committing
        self.lazy = [plugin for plugin in plugins if isinstance(plugin, LazyConstraint)]
        self.firm = [plugin for plugin in plugins if not isinstance(plugin, LazyConstraint)]
        self.joined: list[frozenset[tuple[int, str]]] = [frozenset() for _ in layouts]
        for rows, _ in self._groups(range(len(self.layouts))):
            self._bound(rows[0], finished=False)  # an error about rules that cannot be met comes before any work

    def select(self, rows: Tensor) -> None:
        """Particles were resampled: row n goes on as row ``rows[n]``."""
        chosen = rows.tolist()
        self.layouts = [self.layouts[n] for n in chosen]
        self.joined = [self.joined[n] for n in chosen]
        self.allowed = [self.allowed[n] for n in chosen]

    def stepped_in(self) -> list[bool]:
        """Whether a part had to join each row since `best` was asked for."""
        return [bool(parts) for parts in self.joined]

    def marginals(self, log_probs: Tensor) -> Conditioned:
        """As in `JointConstraint`, of the parts that joined; parts that the likeliest text breaks join now."""
        self.observed(log_probs)
        self._join(log_probs.argmax(-1), range(len(self.layouts)))
        out = log_probs
        log_z = log_probs.new_zeros(len(log_probs))
        divergence = log_probs.new_zeros(log_probs.shape[:2])
        for rows, length in self._groups(range(len(self.layouts))):
            bound = self._bound(rows[0], finished=self.committing)
            if bound is None:
                continue
            if out is log_probs:
                out = log_probs.clone()
            index = torch.tensor(rows, device=log_probs.device)
            found = bound.posterior(log_probs[index, :length])
            out[index, :length] = found.marginals
            log_z[index] = found.log_partition.to(log_z.dtype)
            divergence[index, :length] = found.divergence.to(divergence.dtype)
        return Conditioned(out, log_z, divergence)

    def sample(self, log_probs: Tensor, uniforms: Tensor) -> Tensor:
        """One text of each row that obeys all parts, drawn jointly from those that joined: (B, L, V), (B, L) -> (B, L).

        A draw that breaks another part lets it join and is drawn again with the same numbers.
        """
        ids = Posterior(log_probs).draw(uniforms)
        return self._until_unbroken(ids, range(len(self.layouts)), log_probs, uniforms)

    def best(self, log_probs: Tensor) -> Tensor:
        """The most probable token ids that obey all parts: (B, L, V) -> (B, L)."""
        self.joined = [frozenset() for _ in self.layouts]  # what joined on the way need not bind the finished text
        return self._until_unbroken(log_probs.argmax(-1), range(len(self.layouts)), log_probs, None)

    def _until_unbroken(self, ids: Tensor, rows: Sequence[int], log_probs: Tensor, uniforms: Tensor | None) -> Tensor:
        """Token ids (B, L) under the parts that joined, whole (`part` with ``finished``), until none is broken."""
        waiting = list(rows)
        while waiting:
            for own, length in self._groups(waiting):
                bound = self._bound(own[0], finished=True)
                if bound is None:
                    continue
                index = torch.tensor(own, device=log_probs.device)
                scores = log_probs[index, :length]
                if uniforms is None:
                    ids[index, :length] = bound.viterbi(scores)
                else:
                    ids[index, :length] = bound.sample(scores, uniforms[index, :length])
            waiting = self._join(ids, waiting, strict=True)
        return ids

    def _join(self, ids: Tensor, rows: Sequence[int], strict: bool = False) -> list[int]:
        """Lets the parts join that the texts of token ids (B, L) break; the rows that broke one."""
        changed = []
        for row in rows:
            layout = self.layouts[row]
            text, written = layout.assemble(ids[row, : layout.length].tolist(), self.vocabulary)
            places = written_ranges(layout, written)
            found = [(k, name) for k, plugin in enumerate(self.lazy) for name in plugin.broken(text, places)]
            new = [part for part in found if part not in self.joined[row]]
            # a text that goes on behind its block may yet mend what it looks like here: its automaton decides
            if strict and found and not new and not getattr(layout, "goes_on", False):
                name = found[0]
                raise GuidanceError(
                    f"The text {text!r} breaks the rule {name[1]!r} of {self.lazy[name[0]].title!r}, although its automaton "
                    "accepts it: `broken` and `part` of this plugin do not agree."
                )
            if new:  # in the end one at a time: what mends one part often mends others, and a contradiction shows early
                self.joined[row] = self.joined[row] | set(new[:1] if strict else new)
                changed.append(row)
        return changed

    def _groups(self, rows: Sequence[int]) -> list[tuple[list[int], int]]:
        """Rows that share a canvas and parts, with the length of the canvas."""
        rows = list(rows)
        out = []
        for own, layout in by_canvas([self.layouts[row] for row in rows]):
            alike: dict[frozenset[tuple[int, str]], list[int]] = {}
            for n in own:
                alike.setdefault(self.joined[rows[n]], []).append(rows[n])
            out += [(group, layout.length) for group in alike.values()]
        return out

    def _bound(self, row: int, finished: bool) -> BoundAutomaton | BoundChain | None:
        layout = self.layouts[row]
        parts = [self.lazy[k].part(name, self.vocabulary, finished) for k, name in sorted(self.joined[row])]
        # parts that are one and the same automaton (two kinds with one guard) count once
        rules = list({part.key or id(part): part for part in parts if part is not None}.values())
        plugins = [*self.firm, *([_Rules(rules)] if rules else [])]
        if not plugins:
            return None
        allowed = self.allowed[row][: layout.length]
        try:
            return bind_rules(plugins, layout, self.vocabulary, allowed, allowed.device)
        except UnsatisfiableConstraint:
            if finished or not rules or not getattr(layout, "before", ()):
                raise
            # what was written in earlier blocks obeys the rules themselves, perhaps not the wider form of a part on the way
            return bind_rules(self.firm, layout, self.vocabulary, allowed, allowed.device) if self.firm else None


class _Rules(Constraint):
    """Some automata, as `bind_rules` takes them; each forbids something, so they do not stand in each other's way."""

    apart: ClassVar[bool] = True

    def __init__(self, rules: Sequence[TokenAutomaton]) -> None:
        super().__init__()
        self.compiled = list(rules)


def written_ranges(layout: CanvasLayout, written: Sequence[str]) -> list[tuple[int, int]]:
    """Where the texts of the spans stand in the whole text."""
    out = list(getattr(layout, "written_before", ()))  # of earlier blocks
    position = 0
    for literal, text in zip(layout.canvas.literals, written, strict=False):
        position += len(literal)
        out.append((position, position + len(text)))
        position += len(text)
    return out
