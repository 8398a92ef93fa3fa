"""`Limits` of the service, and `Refusal`: a request that is answered with an error."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from diffusionlm.serving.server_paths import without_paths


@dataclass(frozen=True)
class Limits:
    """Limits of one request, one client and the whole service.

    Attributes:
        length: positions to write in one text; the model's own limit holds too.
        characters: of a text or a prompt.
        samples: texts of one request, over all its prompts.
        steps: denoising steps.
        body: bytes of a request.
        waiting: texts that wait, of all clients.
        waiting_each: texts that wait, of one client.
        seconds: from the arrival of a request to the end of its answer.
        slow: seconds a client may take to send a request, or to accept a piece of an answer.
        compile: seconds that the guidance of a request may take to be made ready.
        batch: rows that are written at once.
        open_requests: connections that are open at once.
    """

    length: int = 512
    characters: int = 20_000
    samples: int = 64
    steps: int = 128
    body: int = 1_000_000
    waiting: int = 1024
    waiting_each: int = 256
    seconds: float = 120.0
    slow: float = 10.0
    compile: float = 5.0
    batch: int = 16
    open_requests: int = 512

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ValueError(f"The limit {item.name} must be a number above 0, got {value!r}.")
            if isinstance(item.default, int) and int(value) != value:
                raise ValueError(f"The limit {item.name} must be a whole number, got {value!r}.")


class Refusal(Exception):
    """A request that is answered with an error in OpenAI's form.

    Args:
        status: HTTP status.
        message: one sentence; paths of the server are taken out of it.
        code: a short name of the fault, or None.
        parameter: the field at fault, or None.
        retry: seconds after which the client may try again, or None.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        parameter: str | None = None,
        retry: int | None = None,
    ) -> None:
        message = without_paths(message)
        super().__init__(message)
        self.status, self.message, self.code, self.parameter, self.retry = status, message, code, parameter, retry

    def body(self) -> dict[str, Any]:
        """The answer, as OpenAI's clients read it."""
        kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(self.status)
        kind = kind or ("server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.parameter, "code": self.code}}
