"""A service over the tiny pipeline in a thread of this process, and clients for it."""

import threading
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")


@contextmanager
def running(service, grace=10.0):
    """Yields the address of a service that is served by uvicorn in a thread."""
    from diffusionlm.serving.server import make_server

    server = make_server(service, "127.0.0.1", 0, grace)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline and thread.is_alive():
        time.sleep(0.01)
    assert server.started
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def serve(tiny_pipe):
    """`serve(limits=..., keys=..., models=...)` as a context manager: the service and its address."""
    from diffusionlm.serving.app import Service
    from diffusionlm.serving.limits import Limits

    @contextmanager
    def start(models=None, keys=(), also=(), **limits):
        service = Service(models or {"tiny": tiny_pipe}, Limits(**{"compile": 60.0, **limits}), keys, also)
        with running(service) as address:
            yield service, address

    return start
