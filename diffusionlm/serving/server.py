"""The service under uvicorn: clients that are slow are let go, and a stop lets requests finish first."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from diffusionlm.serving.app import Service, make_app


def patient_protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, but a client has only so many seconds to send its headers, and to accept a piece of an answer."""

    class PatientProtocol(H11Protocol):
        _watch: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch = self.loop.call_later(seconds, self._late)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            between = self.cycle is None or self.cycle.response_complete  # headers have begun, or nothing has come
            if between and self._watch is None:
                self._watch = self.loop.call_later(seconds, self._late)
            elif not between and self._watch is not None:
                self._watch.cancel()
                self._watch = None

        def _late(self) -> None:
            self._watch = None
            if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
                self.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self._watch, self._stuck):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stuck = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            if self._stuck is not None:
                self._stuck.cancel()
            super().resume_writing()

    return PatientProtocol


class Server(uvicorn.Server):
    """uvicorn's server, which tells the service that it is stopping as soon as the signal comes."""

    def __init__(self, config: uvicorn.Config, service: Service, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._tell = service, tell

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listens, and tells so once it does."""
        await super().startup(sockets)
        if self.started:
            self._tell()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Takes no more requests; those that are open may finish. A second signal ends at once."""
        self._service.draining = True
        super().handle_exit(sig, frame)


def check_address(host: str, port: int) -> None:
    """Returns if this process may listen there; before models are loaded.

    Raises:
        ValueError: if another one does, or there is no such address here.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"Something listens on {host}:{port} already: stop it, or give another --port (0 takes a free one)."
            ) from None
        raise ValueError(f"This machine cannot listen on {host}:{port}: {error.strerror or error}.") from None


def make_server(
    service: Service,
    host: str,
    port: int,
    grace: float = 30.0,
    log_level: str = "warning",
    tell: Callable[[], None] = lambda: None,
) -> Server:
    """A server that is ready to ``run()``.

    Args:
        service: what it serves.
        host: address to listen on.
        port: 0 takes a free one.
        grace: seconds that open requests may take to finish after a stop.
        log_level: of uvicorn.
        tell: called once it listens.
    """
    config = uvicorn.Config(
        make_app(service),
        host=host,
        port=port,
        http=patient_protocol(service.limits.slow),
        log_level=log_level,
        access_log=False,
        timeout_graceful_shutdown=int(grace),
        timeout_keep_alive=int(max(5, service.limits.slow)),
        limit_concurrency=service.limits.open_requests,
        server_header=False,
    )
    return Server(config, service, tell)
