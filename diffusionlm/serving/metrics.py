"""`Metrics` of the service in Prometheus' form; they count, and hold nothing of what was asked or written."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._answers = Counter("diffusionlm_requests", "Requests answered", ["path", "status"], registry=registry)
        self._open = Gauge("diffusionlm_requests_open", "Requests being answered", registry=registry)
        self._texts = Counter("diffusionlm_texts", "Texts written", ["model"], registry=registry)
        self._busy = Counter("diffusionlm_writing_seconds", "Seconds spent writing", ["model"], registry=registry)
        self._batches = Histogram(
            "diffusionlm_batch_rows", "Rows of a batch", ["model"], registry=registry, buckets=_ROWS
        )
        self._wait = Histogram(
            "diffusionlm_wait_seconds",
            "Seconds from a row's arrival to its batch",
            ["model"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._abandoned = Counter(
            "diffusionlm_texts_abandoned",
            "Texts that were begun and not finished, as nobody waited",
            ["model"],
            registry=registry,
        )
        self._queued = Gauge("diffusionlm_waiting", "Texts that wait", ["model"], registry=registry)

    def opened(self) -> None:
        """A request came."""
        self._open.inc()

    def answered(self, path: str, status: int) -> None:
        """A request was answered, or its client left (499)."""
        self._open.dec()
        self._answers.labels(path, status).inc()

    def waited(self, model: str, seconds: float) -> None:
        """A row has waited so long for its batch."""
        self._wait.labels(model).observe(seconds)

    def wrote(self, model: str, rows: int, seconds: float) -> None:
        """A batch was written."""
        self._batches.labels(model).observe(rows)
        self._texts.labels(model).inc(rows)
        self._busy.labels(model).inc(seconds)

    def abandoned(self, model: str, rows: int) -> None:
        """A batch was given up."""
        self._abandoned.labels(model).inc(rows)

    def queued(self, model: str, rows: int) -> None:
        """So many rows wait now."""
        self._queued.labels(model).set(rows)

    def text(self) -> bytes:
        """All of it, as a Prometheus server reads it."""
        return generate_latest(self.registry)
