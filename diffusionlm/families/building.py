"""From a network, a tokenizer and what is known of them to a `TokenModel`: shared by all families over tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusionlm.errors import reason_of
from diffusionlm.families.family import Checkpoint, Choices, Loaded
from diffusionlm.families.sheet import Frame
from diffusionlm.families.switches import Switches
from diffusionlm.families.token_model import TokenModel
from diffusionlm.text.foreign import ForeignTokenizer, frame_of

if TYPE_CHECKING:
    from diffusionlm.families.networks import TokenNetwork

ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "[/Answer]", "<|role_end|>", "</s>")
LONGEST_TEXT, LONGEST_SPAN = 128, 16
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
)


def find_tokenizer(checkpoint: Checkpoint, choices: Choices, default: str = "") -> Any:
    """The tokenizer of transformers that belongs to a checkpoint.

    Args:
        checkpoint: the folder.
        choices: may name another one.
        default: name of the one that the family was trained with, for folders that have none.

    Raises:
        FileNotFoundError: if there is none.
    """
    if choices.tokenizer is not None and not isinstance(choices.tokenizer, str | Path):
        return choices.tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    own = any((checkpoint.folder / name).is_file() for name in TOKENIZER_FILES)
    name = str(choices.tokenizer or (checkpoint.folder if own else default))
    if not name:
        raise FileNotFoundError(f"{checkpoint.folder} has no tokenizer; give it with tokenizer=<folder or name>.")
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:
        check_json_files(Path(name))
        if (Path(name) / "tokenizer.json").is_file():  # of a class that only remote code knows; the file says all
            return PreTrainedTokenizerFast.from_pretrained(name)
        reason = reason_of(error)
        hint = f" These weights were trained with that of {default!r}." if default and not own else ""
        raise FileNotFoundError(
            f"The tokenizer {name!r} cannot be loaded without running code of others ({reason}).{hint} Give a folder with a "
            "tokenizer.json: tokenizer=<folder>."
        ) from error


def check_json_files(folder: Path) -> None:
    """Raises ValueError naming the file of a tokenizer that is no JSON; asked where it cannot be loaded."""
    for name in TOKENIZER_FILES:
        if name.endswith(".json") and (folder / name).is_file():
            try:
                json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(
                    f"The tokenizer's {folder / name} cannot be read ({reason_of(error)}); fetch it again."
                ) from error


def token_id(source: Any, given: str | int | None, what: str) -> int | None:
    """Id of a token given by its text or its id.

    Raises:
        ValueError: if the tokenizer has no such token.
    """
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    found = source.get_vocab().get(given) if isinstance(given, str) else None
    if found is None:
        raise ValueError(
            f"{what}={given!r} is no token of the tokenizer; give its text as tokenizer.json has it, or its id."
        )
    return int(found)


def end_ids(source: Any, given: str | int | None, known: Sequence[int] = ()) -> tuple[int, ...]:
    """Tokens after which a text is over: what the user says, what the family knows, or what the tokenizer names."""
    if given is not None:
        end = token_id(source, given, "end_token")
        return () if end is None else (end,)
    if known:
        return tuple(known)
    names = source.get_vocab()
    if getattr(source, "chat_template", None):
        said = [token for token in ENDS if token in names and token in source.chat_template]
        own = [] if source.eos_token_id is None else [int(source.eos_token_id)]
        return tuple(dict.fromkeys([*(int(names[token]) for token in said), *own]))
    return () if source.eos_token_id is None else (int(source.eos_token_id),)


def build(
    network: TokenNetwork,
    source: Any,
    choices: Choices,
    *,
    vocab_size: int,
    max_length: int,
    switches: Switches | None = None,
    mask_id: int | None = None,
    ends: Sequence[int] | None = None,
    framed: bool = True,
    references: Sequence[str] = (),
    card: dict[str, Any] | None = None,
) -> Loaded:
    """A model over tokens with its tokenizer and the defaults of its pipeline.

    Args:
        network: the network.
        source: a tokenizer of transformers.
        choices: what the user says; goes before all else.
        vocab_size: rows of the output.
        max_length: positions of the network.
        switches: of the family.
        mask_id: of the family, for tokenizers that name none.
        ends: of the family; None asks the tokenizer.
        framed: whether the tokenizer's special tokens stand around a text.
        references: publications.
        card: facts.

    Raises:
        ValueError: if something does not fit, the mask token is missing, or a token does not exist.
    """
    own = Switches() if switches is None else switches
    switches = Switches(
        corruption=choices.corruption or own.corruption,
        shift=own.shift if choices.shift is None else choices.shift,
        attention=choices.attention or own.attention,
        time=choices.time or own.time,
    )
    mask = token_id(source, choices.mask_token, "mask_token")
    mask = next((i for i in (mask, source.mask_token_id, mask_id) if i is not None), None)
    over = end_ids(source, choices.end_token) if ends is None or choices.end_token is not None else tuple(ends)
    tokenizer = ForeignTokenizer(source, vocab_size, over[0] if over else None, mask, over[1:], choices.chat)
    prefix, suffix = frame_of(source) if framed else ((), ())
    # an end token behind every text belongs to the canvas, where it is pad
    suffix = tuple(i for i in suffix if i not in over)
    filler = source.pad_token_id if source.pad_token_id is not None else tokenizer.pad_id
    model = TokenModel(
        network,
        switches,
        vocab_size=vocab_size,
        max_length=max_length,
        mask_id=mask,
        end_ids=over,
        pad_id=tokenizer.pad_id,
        special_ids=sorted(tokenizer.special_ids),
        frame=Frame(prefix, suffix, tokenizer.chat, int(filler)),
        references=references,
    )
    if mask is not None and mask >= network.table().shape[0]:
        raise ValueError(
            f"The mask token has id {mask}, the model embeds {network.table().shape[0]} tokens; enlarge it as it was "
            "trained, or name its own mask token."
        )
    defaults = {
        "schedule": {"kind": "masking"},
        "sampler": {"name": "unmasking", **({"block": switches.block} if switches.block else {})},
        "max_length": min(LONGEST_TEXT, model.max_length),
        "max_span_length": min(LONGEST_SPAN, model.max_length),
        "card": dict(card or {}),
    }
    return Loaded(model, tokenizer, defaults)
