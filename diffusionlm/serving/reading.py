"""From the body of a request to rows: texts to continue, to fill or to write, chat turns, structured answers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffusionlm.generation.requests import TooLong
from diffusionlm.serving.bodies import LARGEST_SEED, ChatBody, Common, CompletionBody
from diffusionlm.serving.limits import Limits, Refusal
from diffusionlm.serving.plugins import check_guidance, to_key
from diffusionlm.serving.rows import RowSettings, WorkRow, check_sampler, make_row
from diffusionlm.spans import Canvas, Span

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.text import Vocabulary

_LIKE_A_SPAN = re.compile(r"\[\s*(?i:span|choice)\s*[:\]]|\[(?:SPAN|CHOICE)\b(?![^\[\]]*\])")
STRUCTURE = "json-schema"  # the plugin behind response_format


@dataclass(frozen=True)
class Order:
    """Outcome of reading a request.

    Attributes:
        rows: its texts, those of each prompt side by side.
        before, after: characters of known text that are left out of the answer, of each row.
        stop: the answer ends before the first of these.
        samples: texts of each prompt.
        vocabulary: of the model, which says how many tokens an answer has that `stop` cut.
    """

    rows: list[WorkRow]
    before: list[int]
    after: list[int]
    stop: tuple[str, ...]
    samples: int
    vocabulary: Vocabulary

    def shown(self, place: int, text: str) -> str:
        """The part of a row's text, finished or draft, that is answered."""
        return text[self.before[place] : len(text) - self.after[place]]


def read_completion(body: CompletionBody, pipe: DiffusionLMPipeline, limits: Limits, also: Sequence[str] = ()) -> Order:
    """Rows of ``/v1/completions``.

    A prompt with ``[SPAN]`` or with ``spans`` is filled and comes back whole; "" or none has a text written from nothing; any
    other is continued, up to ``suffix`` where there is one, and what was written comes back.

    Raises:
        Refusal: for what is over a limit or not allowed.
        ValueError: if a text does not fit the model.
    """
    prompts = body.prompt if isinstance(body.prompt, list) else [body.prompt]
    conditions = body.condition if isinstance(body.condition, list) else [body.condition]
    count = max(len(prompts), len(conditions))
    if not prompts or not conditions or {len(prompts), len(conditions)} - {1, count}:
        raise Refusal(
            400,
            f"There are {len(prompts)} prompts and {len(conditions)} conditions; give one for all, or one for each.",
            parameter="condition",
        )
    _check_samples(body, count, limits)
    _check_length(body.max_tokens, limits)
    settings, seed = _settings(body, limits, also, beside=any(prompts) or bool(body.suffix)), _seed(body)
    rows, before, after = [], [], []
    for number in range(count):
        prompt, condition = prompts[number % len(prompts)] or "", conditions[number % len(conditions)] or ""
        _check_characters(limits, prompt=prompt, condition=condition, suffix=body.suffix or "")
        canvas, hidden = _canvas(body, prompt, pipe)
        row = _row(pipe, limits, canvas, condition, seed, settings, body.max_span_length)
        for sample in range(body.n):
            rows.append(_with_seed(row, seed + sample))
            before.append(hidden[0])
            after.append(hidden[1])
    return Order(rows, before, after, _stop(body, rows), body.n, pipe.tokenizer.vocabulary)


def read_chat(body: ChatBody, pipe: DiffusionLMPipeline, limits: Limits, also: Sequence[str] = ()) -> Order:
    """Rows of ``/v1/chat/completions``.

    A model that replies (its card says ``replies: true``) takes the last turn as its condition and writes the answer to it;
    one whose tokenizer has a chat template continues the conversation.

    Raises:
        Refusal: if the model does neither, for what is over a limit or not allowed.
        ValueError: if a text does not fit the model.
    """
    if not body.messages:
        raise Refusal(400, "The list of messages is empty.", parameter="messages")
    if body.messages[-1].role != "user":
        raise Refusal(
            400, f"The last message must be of the user, got {body.messages[-1].role!r}.", parameter="messages"
        )
    _check_samples(body, 1, limits)
    beside = not pipe.card.get("replies")  # a chat template puts the turns before what is written
    settings, seed = _settings(body, limits, also, beside), _seed(body)
    for name, value in (("max_tokens", body.max_tokens), ("max_completion_tokens", body.max_completion_tokens)):
        _check_length(value, limits, name)
    length = body.max_completion_tokens or body.max_tokens
    template = getattr(pipe.tokenizer, "chat_template", None)
    if pipe.card.get("replies"):
        if any(message.role in ("system", "developer") for message in body.messages):
            raise Refusal(
                400,
                "This model answers the turn before it and takes no instructions: leave the system message out, and steer it "
                "by guidance.",
                "unsupported",
                "messages",
            )
        condition, canvas, hidden = body.messages[-1].text, Canvas.whole(length or pipe.max_length), 0
    elif template:
        turns = [{"role": message.role, "content": message.text} for message in body.messages]
        text = pipe.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)  # type: ignore[attr-defined]
        condition, canvas, hidden = "", Canvas.from_prefix(text, length or _room(pipe, text)), len(text)
    else:
        raise Refusal(
            400,
            f"The model {body.model!r} has no chat template and writes no replies; use /v1/completions, which continues, fills "
            "and writes texts.",
            "no_chat",
            "model",
        )
    _check_characters(limits, messages="".join(message.text for message in body.messages))
    row = _row(pipe, limits, canvas, condition, seed, settings, None)
    rows = [_with_seed(row, seed + sample) for sample in range(body.n)]
    return Order(rows, [hidden] * body.n, [0] * body.n, _stop(body, rows), body.n, pipe.tokenizer.vocabulary)


def _canvas(body: CompletionBody, prompt: str, pipe: DiffusionLMPipeline) -> tuple[Canvas, tuple[int, int]]:
    """The canvas of a prompt, and how many characters before and after are known to the client."""
    if _LIKE_A_SPAN.search(prompt) or body.spans is not None:
        if body.suffix is not None or body.max_tokens is not None:
            raise Refusal(
                400,
                "suffix and max_tokens are for prompts that are continued; the length of spans is written [SPAN:12] or given "
                "as max_span_length.",
                parameter="suffix" if body.suffix is not None else "max_tokens",
            )
        if body.spans is None:
            return Canvas.parse(prompt), (0, 0)
        if not body.spans or any(len(span) != 2 for span in body.spans):
            raise Refusal(400, "spans must be a list of [start, end], characters of the prompt.", parameter="spans")
        return Canvas.from_ranges(prompt, [(start, end) for start, end in body.spans]), (0, 0)
    if not prompt and not body.suffix:
        return Canvas.whole(body.max_tokens or pipe.max_length), (0, 0)
    suffix = body.suffix or ""
    length = body.max_tokens or _room(pipe, prompt + suffix)
    hidden = (0, 0) if body.echo else (len(prompt), len(suffix))
    return Canvas((prompt, Span(length), suffix)), hidden


def _room(pipe: DiffusionLMPipeline, text: str) -> int:
    """Positions that a text leaves of those that a whole text may use; at least 1, so that the model says what is too long."""
    return max(1, pipe.max_length - len(pipe.tokenizer.encode(text)))


def _row(
    pipe: DiffusionLMPipeline,
    limits: Limits,
    canvas: Canvas,
    condition: str,
    seed: int,
    settings: RowSettings,
    max_span_length: int | None,
) -> WorkRow:
    _check_length(max_span_length, limits, "max_span_length")
    asked = sum(span.length or 1 for span in canvas.spans)  # before positions are listed one by one
    if asked > limits.length:
        raise Refusal(400, f"The text has {asked} tokens to write, at most {limits.length} are allowed.", "too_long")
    try:
        row = make_row(pipe, canvas, condition, seed, settings, max_span_length)
    except TooLong as error:
        given = f"{error.total - error.written} given, " if error.total > error.written else ""
        raise Refusal(
            400,
            f"The text has {error.total} tokens ({given}{error.written} to write), the model takes {error.takes}: ask for "
            "fewer (max_tokens, max_span_length, [SPAN:n]), or shorten the prompt.",
            "too_long",
        ) from None
    _check_length(row.positions, limits)
    return row


def _with_seed(row: WorkRow, seed: int) -> WorkRow:
    return WorkRow(row.canvas, row.prompt, seed, row.settings, row.positions, row.known)


def _settings(body: Common, limits: Limits, also: Sequence[str], beside: bool) -> RowSettings:
    """Settings of the rows; with known text ``beside`` what is written, a ``response_format`` is about the first span alone."""
    if body.steps is not None and not 1 <= body.steps <= limits.steps:
        raise Refusal(400, f"steps must lie in 1..{limits.steps}, got {body.steps}.", parameter="steps")
    check_sampler(body.sampler)
    guidance = check_guidance([] if body.guidance is None else body.guidance, also)
    shape = body.response_format
    if shape is not None and shape.type != "text":
        if shape.json_schema is None:
            raise Refusal(
                400,
                'response_format needs a schema: {"type": "json_schema", "json_schema": {"name": ..., "schema": ...}}.',
                "unsupported",
                "response_format",
            )
        structure = {"name": STRUCTURE, "schema": shape.json_schema.schema_, **({"span": 0} if beside else {})}
        guidance = check_guidance([structure, *guidance], also)
    names = [item["name"] for item in guidance]
    if STRUCTURE in names and not _has_structure():
        raise Refusal(
            400,
            f"Structured output needs the guidance plugin {STRUCTURE!r}, which this installation does not have; upgrade "
            "diffusionlm on the server.",
            "unsupported",
            "response_format",
        )
    return RowSettings(body.steps, body.temperature, body.sampler, to_key(guidance))


def _has_structure() -> bool:
    from diffusionlm.guidance.registry.plugins import available

    return STRUCTURE in available()


def _seed(body: Common) -> int:
    if body.seed is None:
        return secrets.randbelow(2**52)
    if not 0 <= body.seed <= LARGEST_SEED - body.n:
        raise Refusal(400, f"seed must lie in 0..{LARGEST_SEED - body.n}, got {body.seed}.", parameter="seed")
    return body.seed


def _stop(body: Common, rows: Sequence[WorkRow]) -> tuple[str, ...]:
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stop) > 4 or not all(stop):
        raise Refusal(400, "stop must be a text that is not empty, or up to four of them.", parameter="stop")
    if stop and any(len(row.canvas.spans) > 1 for row in rows):
        raise Refusal(
            400, "stop is for texts with one span; a text with several does not end after the first.", parameter="stop"
        )
    return stop


def _check_samples(body: Common, prompts: int, limits: Limits) -> None:
    if body.n < 1:
        raise Refusal(400, f"n must be at least 1, got {body.n}.", parameter="n")
    if body.n * prompts > limits.samples:
        raise Refusal(
            400,
            f"The request asks for {body.n * prompts} texts, at most {limits.samples} are allowed; split it.",
            "too_many_samples",
            "n",
        )


def _check_length(length: int | None, limits: Limits, name: str = "max_tokens") -> None:
    if length is not None and not 1 <= length <= limits.length:
        raise Refusal(400, f"{name} must lie in 1..{limits.length}, got {length}.", "too_long", name)


def _check_characters(limits: Limits, **texts: Any) -> None:
    for name, text in texts.items():
        if len(text) > limits.characters:
            raise Refusal(
                400,
                f"{name} has {len(text):,} characters, at most {limits.characters:,} are allowed.",
                "too_long",
                name,
            )
