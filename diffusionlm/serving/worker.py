"""`ModelWorker`: a thread that writes the rows of all requests to one model, batch after batch; `Ticket` is one request."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diffusionlm.generation.free_memory import give_back
from diffusionlm.serving.choosing import Question
from diffusionlm.serving.fair_queue import FairQueue
from diffusionlm.serving.limits import Limits, Refusal
from diffusionlm.serving.plugins import from_key
from diffusionlm.serving.rows import OF_A_ROW, WorkRow, write

if TYPE_CHECKING:
    from diffusionlm.generation.results import StepState
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.serving.metrics import Metrics

_log = logging.getLogger(__name__)
GATHER = 0.004  # seconds in which requests that come together find each other, where a batch is not full


class _Abandoned(Exception):
    """Nobody waits for this batch any more."""


class Ticket:
    """One request: its rows, and what has become of them. Made and read in the event loop, filled by the worker through it.

    Attributes:
        rows: what to write.
        results: of each row what was written, or its error; None while it waits.
        drafts: of each row that is being written (step, steps, text); only the newest is kept, however slow the reader.
        changed: set whenever results or drafts have changed.
        cancelled: whether nobody waits for it any more.
    """

    def __init__(self, rows: Sequence[WorkRow | Question], client: str, wants_drafts: bool = False) -> None:
        self.rows, self.client, self.wants_drafts = list(rows), client, wants_drafts
        self.results: list[Any] = [None] * len(self.rows)
        self.drafts: dict[int, tuple[int, int, str]] = {}
        self.changed = asyncio.Event()
        self.cancelled = False
        self.arrived = time.monotonic()
        self.loop = asyncio.get_running_loop()

    @property
    def done(self) -> bool:
        """True if every row has its result."""
        return all(result is not None for result in self.results)

    async def wait(self) -> None:
        """Returns when every row has its result."""
        while not self.done:
            await self.changed.wait()
            self.changed.clear()

    def finish(self, place: int, result: Any) -> None:
        """The result of a row; called in the event loop."""
        self.results[place] = result
        self.drafts.pop(place, None)
        self.changed.set()

    def draft(self, drafts: dict[int, tuple[int, int, str]]) -> None:
        """Newer drafts; called in the event loop."""
        self.drafts.update({place: draft for place, draft in drafts.items() if self.results[place] is None})
        self.changed.set()


class ModelWorker:
    """Writes for one model. Rows join at the next free batch; batches hold rows of equal settings and about equal length.

    Args:
        name: of the model.
        pipe: the model.
        limits: on waiting and on the rows of a batch.
        metrics: where waiting times, batches and texts are counted.
    """

    def __init__(self, name: str, pipe: DiffusionLMPipeline, limits: Limits, metrics: Metrics) -> None:
        self.name, self.pipe, self.limits, self.metrics = name, pipe, limits, metrics
        self._queue: FairQueue[tuple[Ticket, int]] = FairQueue()
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"model {name}", daemon=True)

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def stop(self) -> None:
        """Ends when the batch that is being written is done; what still waits is not written."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """True if rows that are submitted will be written."""
        return self._thread.is_alive() and not self._closed

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        with self._change:
            return len(self._queue)

    def submit(self, ticket: Ticket) -> None:
        """Lines up the rows of a request.

        Raises:
            Refusal: if too many rows wait, of this client or of all.
        """
        with self._change:
            if self._closed:
                raise Refusal(503, "The service is stopping; try again later.", "stopping", retry=5)
            own, total, new = self._queue.waiting(ticket.client), len(self._queue), len(ticket.rows)
            if own + new > self.limits.waiting_each:
                raise Refusal(
                    429,
                    f"You have {own} texts waiting and ask for {new} more, at most {self.limits.waiting_each} may wait for one "
                    "client; wait for some of them.",
                    "too_many_waiting",
                    retry=2,
                )
            if total + new > self.limits.waiting:
                raise Refusal(
                    503,
                    f"{total} texts are waiting, at most {self.limits.waiting} may; try again soon.",
                    "busy",
                    retry=2,
                )
            for place, row in enumerate(ticket.rows):
                self._queue.push(ticket.client, row.group, (ticket, place))
            self._change.notify_all()

    def cancel(self, ticket: Ticket) -> None:
        """Forgets a request: its waiting rows are dropped; a batch that is being written stops if all its requests are."""
        ticket.cancelled = True
        with self._change:
            self._queue.drop(lambda item: item[0] is ticket)

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._closed and not len(self._queue):
                    self._change.wait()
                if self._closed:
                    return
                gather = len(self._queue) < self.limits.batch
            if gather:
                time.sleep(GATHER)
            with self._change:
                batch = self._queue.take(self.limits.batch, lambda item: not item[0].cancelled)
            if batch:
                self._write(batch)
                give_back()

    def _write(self, batch: list[tuple[Ticket, int]]) -> None:
        began = time.monotonic()
        for ticket, _ in batch:
            self.metrics.waited(self.name, began - ticket.arrived)
        rows = [ticket.rows[place] for ticket, place in batch]
        results: Sequence[Any]
        try:
            results = self._results(batch, rows)
        except _Abandoned:
            self.metrics.abandoned(self.name, len(rows))
            return
        except Exception as error:  # a mistake of ours, or of the machine: these rows fail, the service goes on
            _log.exception("A batch of %d rows failed", len(rows))
            results = [error] * len(rows)
        self.metrics.wrote(self.name, len(rows), time.monotonic() - began)
        for (ticket, place), result in zip(batch, results, strict=True):
            _tell(ticket, ticket.finish, place, result)

    def _results(self, batch: list[tuple[Ticket, int]], rows: list[WorkRow | Question]) -> Sequence[Any]:
        if isinstance(rows[0], Question):
            try:
                return [rows[0].answer(self.pipe)]
            except OF_A_ROW as error:
                return [error]
        texts = [row for row in rows if isinstance(row, WorkRow)]
        return write(self.pipe, texts, from_key, lambda state, places: self._step(batch, state, places))

    def _step(self, batch: list[tuple[Ticket, int]], state: StepState, places: Sequence[int]) -> None:
        concerned = [batch[place] for place in places]
        if all(ticket.cancelled for ticket, _ in batch):
            raise _Abandoned
        if not any(ticket.wants_drafts for ticket, _ in concerned):
            return
        texts = state.texts()[:: len(state.layouts) // len(concerned)]  # of particles the first
        by_ticket: dict[int, tuple[Ticket, dict[int, tuple[int, int, str]]]] = {}
        for (ticket, place), text in zip(concerned, texts, strict=True):
            if ticket.wants_drafts and not ticket.cancelled:
                drafts = by_ticket.setdefault(id(ticket), (ticket, {}))[1]
                drafts[place] = (state.step + 1, state.num_steps, text)
        for ticket, drafts in by_ticket.values():
            _tell(ticket, ticket.draft, drafts)


def _tell(ticket: Ticket, what: object, *arguments: object) -> None:
    try:
        ticket.loop.call_soon_threadsafe(what, *arguments)  # type: ignore[arg-type]
    except RuntimeError:  # the loop has ended, and with it whoever waited
        ticket.cancelled = True
