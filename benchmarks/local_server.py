"""A server in a process of its own on a free port of this machine, waited for until it answers."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

START_SECONDS = 300


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def answering(command: Callable[[int], Sequence[str]], log: Any = None) -> Iterator[tuple[str, int]]:
    """Runs a server while the block lasts; gives its address and process number.

    Args:
        command: of a port.
        log: a file for what it says of faults; None leaves that to the terminal.

    Raises:
        RuntimeError: if it ends, or does not answer in time.
    """
    port = free_port()
    given = command(port)
    process = subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=log)
    url, began = f"http://127.0.0.1:{port}", time.monotonic()
    try:
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                    raise RuntimeError(f"`{' '.join(given[1:])}` does not answer.") from None
                time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)
