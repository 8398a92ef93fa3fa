"""Visitors without a browser, for tests and benchmarks: the page's own protocol over HTTP."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from typing import Any


class Visitor:
    """One session.

    Args:
        url: of the server.
        config: what the page is made of, as it serves it; fetched if None.
    """

    def __init__(self, url: str, config: dict[str, Any] | None = None) -> None:
        self.url, self.session = url, uuid.uuid4().hex
        self.config = config or json.load(urllib.request.urlopen(f"{url}/config", timeout=60))
        self.components = {part["id"]: part for part in self.config["components"]}
        button = next(k for k, part in self.components.items() if part["props"].get("elem_id") == "dl-write")
        self.event = next(d for d in self.config["dependencies"] if [button, "click"] in map(list, d["targets"]))

    def values(self, **changes: Any) -> list[Any]:
        """Values that the page sends, with some fields changed by their label up to a comma.

        Raises:
            KeyError: if there is no field of that label.
        """
        parts = [self.components[number]["props"] for number in self.event["inputs"]]
        labels = [(part.get("label") or "").partition(",")[0] for part in parts]
        missing = set(changes) - set(labels)
        if missing:
            raise KeyError(f"The page has no field {sorted(missing)[0]!r}; it has {', '.join(labels[:9])}.")
        return [changes.get(label, part.get("value")) for label, part in zip(labels, parts, strict=True)]

    def write(self, timeout: float = 300, **changes: Any) -> tuple[dict[str, Any], float]:
        """Sends an order and waits for its end.

        Args:
            timeout: seconds without a word from the server.
            changes: values of fields, by the first words of their labels ("Text", "Steps").

        Returns:
            The last state of the result, and the seconds until its first one.
        """
        return self.send(self.values(**changes), timeout)

    def send(self, values: list[Any], timeout: float = 300, patient: bool = True) -> tuple[dict[str, Any], float]:
        """Sends values of all fields and waits for the end.

        Args:
            values: in the order of the page.
            timeout: seconds without a word from the server.
            patient: False: goes away at the first state.

        Returns:
            As `write`.
        """
        body = {"data": values, "fn_index": self.event["id"], "session_hash": self.session}
        headers = {"Content-Type": "application/json"}
        began = time.perf_counter()
        request = urllib.request.Request(f"{self.url}/gradio_api/queue/join", json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=timeout).close()
        stream = f"{self.url}/gradio_api/queue/data?session_hash={self.session}"
        first, state = 0.0, "{}"
        with urllib.request.urlopen(stream, timeout=timeout) as lines:
            for line in lines:
                if not line.startswith(b"data:"):
                    continue
                said = json.loads(line[5:])
                if said["msg"] in ("process_generating", "process_completed"):
                    first = first or time.perf_counter() - began
                    state = _latest(said, state)
                over = said["msg"] in ("process_completed", "close_stream", "unexpected_error")
                if over or (first and not patient):
                    break
        return json.loads(state), first


def _latest(said: dict[str, Any], state: str) -> str:
    """The value of the result after a message; later messages hold what changed only."""
    data = said.get("output", {}).get("data") or []
    if not data or not data[0]:
        return state
    if isinstance(data[0], str):
        return data[0]
    changes = [change for change in data[0] if change[0] in ("replace", "add") and isinstance(change[2], str)]
    return changes[-1][2] if changes else state
