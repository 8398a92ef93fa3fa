"""Serves the page: Gradio behind a gate that lets through what the page needs and nothing else."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import gradio as gr
import torch
import uvicorn
from fastapi import FastAPI

from diffusionlm.studio.limits import LIMITS, Limits
from diffusionlm.studio.page import asset, build
from diffusionlm.studio.writing import checkpoints, offer, pipeline

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# What the page asks for. No uploads, no files, no proxy, no interface for programs.
OPEN = re.compile(
    r"^/$|^/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json)/?$|^/(assets|static|svelte)/[\w./@+-]+$"
    r"|^/gradio_api/(queue/(join|data)|heartbeat/\w+|startup-events|theme\.css|app_id|cancel|reset|run/predict|info)/?$"
)
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio's own code needs both
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    ]
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


class Gate:
    """ASGI middleware: other paths than those of the page are not found, large bodies refused, pages may load from here only.

    Args:
        app: what stands behind it.
        body: largest body of a request, in bytes.
    """

    def __init__(self, app: Any, body: int) -> None:
        self.app, self.body = app, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http" or not OPEN.match(scope["path"]) or ".." in scope["path"]:
            await _refuse(scope, send, 404, "There is nothing here.")
            return
        parts: list[bytes] = []
        more, size = scope["method"] == "POST", 0
        while more:
            part = await receive()
            if part["type"] != "http.request":
                return
            parts.append(part.get("body", b""))
            size, more = size + len(parts[-1]), part.get("more_body", False)
            if size > self.body:
                await _refuse(scope, send, 413, f"This is more than {self.body} bytes; shorten the text.")
                return
        given = [b"".join(parts)] if scope["method"] == "POST" else []

        async def replay() -> MutableMapping[str, Any]:
            if given:
                return {"type": "http.request", "body": given.pop(), "more_body": False}
            return await receive()

        async def answer(reply: MutableMapping[str, Any]) -> None:
            if reply["type"] == "http.response.start":
                reply["headers"] = [*reply.get("headers", []), *HEADERS]
            await send(reply)

        await self.app(scope, replay, answer)


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def application(limits: Limits = LIMITS) -> Any:
    """The whole application (ASGI). Loads and warms the weights, so that the first visitor does not wait."""
    for name in checkpoints():
        pipeline(name)("[SPAN].", steps=2, seed=0)
    font, mono = gr.themes.LocalFont("IBM Plex Sans", (400, 700)), gr.themes.LocalFont("IBM Plex Mono", (400,))
    theme = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="stone",
        radius_size="sm",
        font=[font, "system-ui", "sans-serif"],
        font_mono=[mono, "ui-monospace", "monospace"],
    )
    theme.set(  # readable on their grounds: 4.5 to 1
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        color_accent="*primary_700",
    )
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        app,
        build(limits),
        path="/",
        theme=theme,
        css=asset("page.css"),
        head=f"<script>{asset('page.js')}</script>",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        show_error=False,
        max_file_size=1,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )
    return Gate(app, limits.body)


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    threads: int = 1,
    limits: Limits = LIMITS,
    weights: Sequence[str] = (),
) -> None:
    """Serves the page until it is interrupted.

    Args:
        host: "127.0.0.1" for this machine only, "0.0.0.0" for all that can reach it.
        port: of the server.
        threads: of PyTorch. One is best for models of a few million parameters where anything else runs beside them.
        limits: the largest order.
        weights: checkpoints that the page offers, the first as it opens; none: the bundled ones.

    Raises:
        FileNotFoundError: if one of them is not there.
    """
    offer(weights)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    torch.set_num_threads(threads)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    app = application(limits)
    print(
        f"diffusionlm demo: http://{'localhost' if host == '127.0.0.1' else host}:{port}  (Ctrl+C ends it)", flush=True
    )
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
