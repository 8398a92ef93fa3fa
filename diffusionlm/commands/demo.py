"""``diffusionlm demo``: the page to try everything on, in a browser."""

from __future__ import annotations

import argparse
import socket

SUMMARY = "Open the page to write, steer, understand and take away"


def main(argv: list[str]) -> int:
    """Serves the page until it is interrupted."""
    parser = argparse.ArgumentParser(prog="diffusionlm demo", description=SUMMARY + ".")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens it to other machines (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; one is best for small models")
    arguments = parser.parse_args(argv)
    if arguments.threads < 1 or not 0 < arguments.port < 65536:
        raise ValueError("--threads must be at least 1 and --port must lie in 1..65535.")
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

    serve(arguments.host, arguments.port, arguments.threads)
    return 0
