"""Ctrl-C and SIGTERM end a run after the step that is under way, so that it can be written to disk first."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Notes the signal that asked for the end; as a context, in the main thread, it takes the place of the handlers.

    A second signal acts at once, as if there were no such context.

    Attributes:
        signal: number of the signal; None while nobody has asked.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """Exit status by which a shell knows the end by this signal."""
        return 128 + (self.signal or 0)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._put_back()
        if signal.getsignal(number) is signal.SIG_IGN:  # as a shell leaves SIGINT to what it runs in the background
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def _restore(self) -> None:
        self._put_back()
        self._before = {}

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
