"""Waiting for a request's texts: until they are done, its time is over, or its client has left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from diffusionlm.serving.limits import Refusal
from diffusionlm.serving.responses import DONE, Answer, event
from diffusionlm.serving.rows import OF_A_ROW, Written
from diffusionlm.serving.worker import ModelWorker, Ticket

LEFT = 499  # what proxies write in their logs when a client has left


async def _left(receive: Receive) -> None:
    """Returns when the client has closed the connection; the body has been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


def check(results: list[Any]) -> list[Written]:
    """The texts of a request.

    Raises:
        Refusal: if one of them could not be written.
    """
    for result in results:
        if isinstance(result, Exception):
            if isinstance(result, OF_A_ROW) and not isinstance(result, FloatingPointError):
                raise Refusal(400, " ".join(str(result).split())[:1000])
            raise Refusal(500, "The model failed at this request; the server's log says why.", "model_failed")
    return results


async def wait_for(ticket: Ticket, worker: ModelWorker, request: Request, seconds: float) -> list[Written]:
    """The texts of a request that is answered in one piece.

    Raises:
        Refusal: if one could not be written, time is over, or the client has left.
    """
    texts, gone = asyncio.ensure_future(ticket.wait()), asyncio.ensure_future(_left(request.receive))
    try:
        done, _ = await asyncio.wait({texts, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if texts in done:
            return check(ticket.results)
        if gone in done:
            raise Refusal(LEFT, "The client left.", "client_left")
        raise _late(seconds)
    finally:
        for task in (texts, gone):
            task.cancel()
        worker.cancel(ticket)


def _late(seconds: float) -> Refusal:
    return Refusal(504, f"The texts were not done within {seconds:g} s; ask for fewer, or with fewer steps.", "timeout")


class EventStream(Response):
    """An answer in server-sent events: drafts, finished texts, and ``[DONE]``.

    Args:
        ticket: the request.
        worker: that writes it.
        answer: gives the events their form.
        seconds: from now to the end.
        usage: whether the last event has the usage.
        finished: called with the status in the end: 200, or 499 where the client left, or 504.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        ticket: Ticket,
        worker: ModelWorker,
        answer: Answer,
        seconds: float,
        usage: bool,
        finished: Callable[[int], None],
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]  # not known
        self._ticket, self._worker, self._answer, self._usage, self._finished = ticket, worker, answer, usage, finished
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events, until they are over or the client has left."""
        status = LEFT
        sending, gone = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                status = sending.result()
        except OSError:
            status = LEFT
        finally:
            for task in (sending, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task
            self._worker.cancel(self._ticket)
            self._finished(status)

    async def _send(self, send: Send) -> int:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        status = 200
        try:
            async with asyncio.timeout(self._seconds):
                async for piece in self._events():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            refusal = _late(self._seconds)
            status = refusal.status
            await send({"type": "http.response.body", "body": event(refusal.body()), "more_body": True})
        except Refusal as refusal:
            status = refusal.status
            await send({"type": "http.response.body", "body": event(refusal.body()), "more_body": True})
        await send({"type": "http.response.body", "body": DONE, "more_body": False})
        return status

    async def _events(self) -> AsyncIterator[bytes]:
        ticket = self._ticket
        sent: set[int] = set()
        while len(sent) < len(ticket.rows):
            await ticket.changed.wait()
            ticket.changed.clear()
            for place, result in enumerate(ticket.results):
                if result is not None and place not in sent:
                    sent.add(place)
                    for piece in self._answer.final(place, check([result])[0]):
                        yield event(piece)
            for place in list(ticket.drafts):
                if place in ticket.drafts:
                    yield event(self._answer.draft(place, *ticket.drafts.pop(place)))
        if self._usage:
            yield event(self._answer.last(check(ticket.results)))
