"""Answers in OpenAI's form: whole, and as chunks of a stream with drafts while a text comes about."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from diffusionlm.serving.reading import Order
from diffusionlm.serving.rows import Written


@dataclass(frozen=True)
class Answer:
    """The answer to one request.

    Attributes:
        order: what was asked for.
        model: its name.
        chat: whether it is a chat completion.
    """

    order: Order
    model: str
    chat: bool = False
    number: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, results: list[Written]) -> dict[str, Any]:
        """The answer in one piece."""
        choices = []
        for place, written in enumerate(results):
            text, reason, cut = self._text(place, written)
            content = (
                {"message": {"role": "assistant", "content": text, "refusal": None}} if self.chat else {"text": text}
            )
            choices.append({**self._choice(place, reason), **content, **_details(written, cut)})
        return {**self._head(False), "choices": choices, "usage": self.usage(results)}

    def draft(self, place: int, step: int, steps: int, text: str) -> dict[str, Any]:
        """A chunk with an empty text and the draft beside it: clients that join chunks see finished text alone."""
        own = {"draft": self.order.shown(place, text), "step": step, "steps": steps}
        return {**self._head(True), "choices": [{**self._choice(place, None), **self._delta(""), **own}]}

    def final(self, place: int, written: Written) -> Iterator[dict[str, Any]]:
        """Chunks with the finished text, and with the reason why it ends."""
        text, reason, cut = self._text(place, written)
        yield {**self._head(True), "choices": [{**self._choice(place, None), **self._delta(text, first=True)}]}
        end: dict[str, Any] = {"delta": {}} if self.chat else {"text": ""}
        yield {**self._head(True), "choices": [{**self._choice(place, reason), **end, **_details(written, cut)}]}

    def last(self, results: list[Written]) -> dict[str, Any]:
        """The chunk with the usage, where it is asked for."""
        return {**self._head(True), "choices": [], "usage": self.usage(results)}

    def usage(self, results: list[Written]) -> dict[str, int]:
        """Tokens that were given and that are answered."""
        given = sum(row.known for row in self.order.rows[:: self.order.samples])
        written = sum(self._tokens(place, result) for place, result in enumerate(results))
        return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}

    def _head(self, chunk: bool) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if chunk else "chat.completion") if self.chat else "text_completion"
        prefix = "chatcmpl" if self.chat else "cmpl"
        return {"id": f"{prefix}-{self.number}", "object": kind, "created": self.created, "model": self.model}

    def _choice(self, place: int, reason: str | None) -> dict[str, Any]:
        return {"index": place, "finish_reason": reason, "logprobs": None}

    def _delta(self, text: str, first: bool = False) -> dict[str, Any]:
        if not self.chat:
            return {"text": text}
        return {"delta": {"role": "assistant", "content": text} if first else {"content": text}}

    def _tokens(self, place: int, written: Written) -> int:
        """Tokens of what is answered of a row: where `stop` cut it, those that begin before the cut."""
        cut = self._text(place, written)[2]
        if cut is None:
            return sum(len(ids) for ids in written.sample.token_ids)
        left, count = len(cut.encode()), 0
        for token in written.sample.token_ids[0]:
            if left <= 0:
                break
            left, count = left - len(self.order.vocabulary.surfaces[int(token)]), count + 1
        return count

    def _text(self, place: int, written: Written) -> tuple[str, str, str | None]:
        """What is answered of a row, why it ends, and what is left of its span where `stop` cut it."""
        text, row = self.order.shown(place, written.sample.text), self.order.rows[place]
        known = 0 if self.order.before[place] else len(row.canvas.literals[0])
        cuts = [at for stop in self.order.stop if (at := text.find(stop, known)) >= 0]
        if cuts:
            return text[: min(cuts)], "stop", written.sample.spans[0][: min(cuts) - known]
        full = [
            span.open and len(ids) == span.length
            for span, ids in zip(row.canvas.spans, written.sample.token_ids, strict=True)
        ]
        return text, "length" if full[-1] else "stop", None


def _details(written: Written, cut: str | None) -> dict[str, Any]:
    """Fields of ours beside each choice; certificates are of a whole text, so there are none where `stop` cut it."""
    sample = written.sample
    return {
        "spans": sample.spans if cut is None else [cut],
        "seed": sample.seed,
        "certificates": sample.certificates if cut is None else None,
        "attempts": sample.attempts,
        "unmet": list(written.unmet),
    }


def event(data: dict[str, Any] | str) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


DONE = event("[DONE]")
