"""``diffusionlm demo``: the page to try everything on, in a browser."""

from __future__ import annotations

import argparse
import os
import socket

SUMMARY = "Open the page to write, steer, understand and take away"


def main(argv: list[str]) -> int:
    """Serves the page until it is interrupted."""
    parser = argparse.ArgumentParser(prog="diffusionlm demo", description=SUMMARY + ".")
    parser.add_argument(
        "checkpoints",
        nargs="*",
        metavar="CHECKPOINT",
        help="the models to choose from, the first as it opens: a bundled name, a folder, or owner/name on the Hub (default: "
        "those that come with the package)",
    )
    host = os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    port = os.environ.get("GRADIO_SERVER_PORT") or "7860"
    if not port.isdecimal():
        raise ValueError(f"GRADIO_SERVER_PORT must be a number in 1..65535, got {port!r}.")
    parser.add_argument(
        "--host", default=host, help="0.0.0.0 opens it to other machines (default: GRADIO_SERVER_NAME, or 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=int(port), help="default: GRADIO_SERVER_PORT, or 7860")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; one is best for small models")
    arguments = parser.parse_args(argv)
    if arguments.threads < 1 or not 0 < arguments.port < 65536:
        raise ValueError("--threads must be at least 1 and --port must lie in 1..65535.")
    if arguments.checkpoints:
        from diffusionlm.checkpoints.folders import find_folder

        for name in arguments.checkpoints:
            find_folder(name)
    with socket.socket() as probe:  # before the long imports
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((arguments.host, arguments.port))
        except OSError as error:
            raise ValueError(
                f"Nothing can be served at {arguments.host}:{arguments.port} ({error.strerror}); give another with --port."
            ) from error

    import gradio  # noqa: F401  (named first, so that its absence names the extra to install)

    from diffusionlm.studio.server import serve

    serve(arguments.host, arguments.port, arguments.threads, weights=arguments.checkpoints)
    return 0
