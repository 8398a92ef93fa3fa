"""Who may ask, and how much: API keys, and the size and pace of bodies."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from diffusionlm.serving.limits import Limits, Refusal
from diffusionlm.text.lines import read_lines

SHORTEST_KEY = 16


def read_keys(file: str | Path | None, environment: str | None) -> list[str]:
    """API keys, from a file with one a line, or from the text of an environment variable, separated by commas.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a key is too short to be one, or the file has none.
    """
    keys = [] if not environment else [key.strip() for key in environment.split(",")]
    if file is not None:
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file of API keys {str(path)!r}; it has one key a line.")
        keys += [line.strip() for line in read_lines(path, "the file of API keys")]
        if not any(keys):
            raise ValueError(f"The file of API keys {str(path)!r} is empty; it has one key a line.")
    keys = [key for key in dict.fromkeys(keys) if key and not key.startswith("#")]
    for key in keys:
        if len(key) < SHORTEST_KEY or not key.isascii():
            raise ValueError(
                f"An API key must have at least {SHORTEST_KEY} ASCII characters, one has {len(key)}; make one with: python -c "
                '"import secrets; print(secrets.token_urlsafe())"'
            )
    return keys


class Access:
    """Tells clients apart.

    Args:
        keys: that are accepted; without any, everybody is.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def client(self, request: Request) -> str:
        """A name for whoever asks: a digest of the key, or the address where no key is needed.

        Raises:
            Refusal: for a missing or wrong key.
        """
        if not self._keys:
            return request.client.host if request.client else "local"
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not given:
            raise Refusal(401, "An API key is needed: send the header 'Authorization: Bearer KEY'.", "invalid_api_key")
        found = [hmac.compare_digest(given.strip().encode(), key) for key in self._keys]  # all are compared: equal time
        if not any(found):
            raise Refusal(401, "This API key is not known.", "invalid_api_key")
        return sha256(self._keys[found.index(True)]).hexdigest()[:16]


async def read_raw(request: Request, limits: Limits) -> bytes:
    """The body of a request.

    Raises:
        Refusal: if it is too large, or does not arrive in time.
    """
    too_large = Refusal(413, f"The body is larger than {limits.body:,} bytes.", "too_large")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.body:
        raise too_large
    raw = bytearray()
    try:
        async with asyncio.timeout(limits.slow):
            async for piece in request.stream():
                raw += piece
                if len(raw) > limits.body:
                    raise too_large
    except TimeoutError:
        raise Refusal(408, f"The body did not arrive within {limits.slow:g} s.", "timeout") from None
    except ClientDisconnect:
        raise Refusal(499, "The client left.", "client_left") from None
    return bytes(raw)
