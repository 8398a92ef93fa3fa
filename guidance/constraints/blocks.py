"""Rules on a text that is written block by block: bound to a block from the state that the text before it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusionlm.guidance.automata import BoundAutomaton, TokenAutomaton
from diffusionlm.guidance.automata.kept import Kept
from diffusionlm.guidance.automata.over_tokens import only_bytes
from diffusionlm.guidance.automata.whole_canvas import WholeCanvas, bind_block

if TYPE_CHECKING:
    from diffusionlm.generation.blocks import BlockLayout
    from diffusionlm.guidance.constraints.constraint import Constraint
    from diffusionlm.text import Vocabulary

_wholes: Kept[WholeCanvas] = Kept()
_blocks: Kept[BoundAutomaton] = Kept(megabytes=64)  # each row of a batch has its own


def bind_to_block(
    groups: Sequence[Sequence[TokenAutomaton]],
    contents: Sequence[Any],
    layout: BlockLayout,
    vocabulary: Vocabulary,
    allowed: Tensor,
    device: torch.device | str,
) -> BoundAutomaton:
    """Rules on a block; what they are on the whole canvas is worked out once and kept.

    Args:
        groups: the rules on the whole canvas; those of one group are kept satisfiable together.
        contents: what identifies each group.
        layout: the block.
        vocabulary: of the automata.
        allowed: (L, V) bool, tokens that the block allows.
        device: where the inference runs.

    Raises:
        UnsatisfiableConstraint: if no text on the canvas obeys, or none that begins as this one does.
        AutomatonTooLarge: if the product is too large.
    """
    canvas, ends = layout.whole.layout, layout.whole.ends
    marks = [tensor.numpy().tobytes() for tensor in (canvas.span_index, canvas.open_mask, canvas.space_mask)]
    options = tuple(span.options for span in canvas.canvas.spans)
    shape = vocabulary.fingerprint, canvas.internal_literals, options, ends, *marks
    place = tuple(contents), shape, layout.before, layout.end, str(device)

    def whole_of(automata: Sequence[TokenAutomaton]) -> WholeCanvas:
        ascii_tokens = _ascii(vocabulary) if only_bytes(vocabulary) else None
        positions = canvas.span_index, *layout.whole.patterns(vocabulary)
        return WholeCanvas(automata, canvas.internal_literals, *positions, ends, ascii_tokens)

    def make() -> BoundAutomaton:
        wholes = [
            _wholes.get((content, shape), partial(whole_of, automata))
            for automata, content in zip(groups, contents, strict=True)
        ]
        return bind_block(wholes, layout.before, layout.end, allowed).to(device)

    return _blocks.get(place, make)


def refuse_what_stays_behind(plugins: Sequence[Constraint], many: bool) -> None:
    """Raises ValueError for rules whose state cannot be handed on from block to block.

    Args:
        plugins: the constraints of a call.
        many: whether their phrases to include are handled one after the other.
    """
    from diffusionlm.guidance.constraints.constraint import Constraint  # which imports this module

    for plugin in plugins:
        reason = ""
        if type(plugin).observe is not Constraint.observe:
            reason = "it reads the posterior of the text all at once"
        elif plugin.weighed_words() is not None:
            reason = "it weighs the words of a text all at once"
        elif many and plugin.unordered():
            reason = "so many phrases are put into an order for the text all at once"
        if reason:
            raise ValueError(
                f"The rule {plugin.title!r} cannot be handed on from block to block of a text that is longer than the model "
                f"takes: {reason}. Ask for a text that fits the model (max_length, [SPAN:n]), "
                + ("include at most 4 phrases in all." if many and plugin.unordered() else "or leave the rule out.")
            )


def _ascii(vocabulary: Vocabulary) -> Tensor:
    """(V,) bool: tokens that are one ASCII character, and pad."""
    out = torch.tensor([len(surface) == 1 and surface < b"\x80" for surface in vocabulary.surfaces])
    out[vocabulary.pad_id] = True
    return out
