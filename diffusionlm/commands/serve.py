"""``diffusionlm serve``: models over HTTP, for OpenAI's clients."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
import warnings
from dataclasses import fields
from typing import Any

SUMMARY = "Serve models over HTTP, in OpenAI's form"
KEYS_VARIABLE = "DIFFUSIONLM_API_KEYS"
EPILOG = f"""
  diffusionlm serve --model restaurant --port 8000
  diffusionlm serve --model restaurant --model notes=runs/notes/model --api-keys keys.txt --host 0.0.0.0

API keys stand in a file, one a line, or in the variable {KEYS_VARIABLE}, separated by commas. Without keys the service
listens on this machine alone, unless --open says otherwise. Limits: see docs/serving.md.
"""


def main(argv: list[str]) -> int:
    """Reads the arguments, loads the models, serves until it is told to stop."""
    arguments = _read(argv)
    from diffusionlm.serving.limits import Limits

    limits = Limits(**{item.name: getattr(arguments, f"limit_{item.name}") for item in fields(Limits)})
    if arguments.threads is not None and arguments.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {arguments.threads}.")
    if not 0 <= arguments.port <= 65535:
        raise ValueError(f"--port must lie in 0..65535, got {arguments.port}.")
    models = _models(arguments.model)

    import uvicorn  # noqa: F401  # a missing extra shows before models are loaded

    from diffusionlm.checkpoints.folders import find_folder
    from diffusionlm.errors import suggestion
    from diffusionlm.guidance.registry.plugins import available
    from diffusionlm.serving.access import read_keys

    keys = read_keys(arguments.api_keys, os.environ.get(KEYS_VARIABLE))
    if not keys and not arguments.open and not _is_local(arguments.host):
        raise ValueError(
            f"--host {arguments.host} lets other machines in, but there are no API keys: give --api-keys FILE, or --open if "
            "everybody may ask."
        )
    for plugin in arguments.allow_plugin:
        if plugin not in available():
            raise ValueError(f"There is no plugin {plugin!r} to allow; {suggestion(plugin, available())}")
    folders = {name: find_folder(source) for name, source in models.items()}  # wrong names show before the slow imports

    import torch

    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.serving.app import Service
    from diffusionlm.serving.server import check_address, make_server

    check_address(arguments.host, arguments.port)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    pipes = {}
    for name, folder in folders.items():
        pipes[name] = DiffusionLMPipeline.from_pretrained(
            folder, torch_dtype=getattr(torch, arguments.dtype), device=device
        )
    warnings.filterwarnings("ignore", message="No training text of these weights", category=UserWarning)
    service = Service(pipes, limits, keys, arguments.allow_plugin)
    service.trial.warm_up()

    def tell() -> None:
        port = server.servers[0].sockets[0].getsockname()[1]
        keyed = "with API keys" if keys else "without API keys"
        print(
            f"Serving {', '.join(pipes)} on http://{arguments.host}:{port}/v1 ({keyed}); Ctrl-C stops.",
            file=sys.stderr,
            flush=True,
        )

    server = make_server(service, arguments.host, arguments.port, arguments.grace, tell=tell)
    server.run()
    return 0 if server.started else 1


def _read(argv: list[str]) -> argparse.Namespace:
    from diffusionlm.serving.limits import Limits

    parser = argparse.ArgumentParser(
        prog="diffusionlm serve",
        description=SUMMARY + ".",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
    )
    add: Any = parser.add_argument
    add(
        "--model",
        action="append",
        metavar="[NAME=]CHECKPOINT",
        help="a bundled name, a folder, or owner/name on the Hub; several may be given",
    )
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    add("--port", type=int, default=8000)
    add("--api-keys", metavar="FILE", help="file with one key a line")
    add("--open", action="store_true", help="let everybody in who reaches the port")
    add(
        "--allow-plugin",
        action="append",
        default=[],
        metavar="NAME",
        help="an installed plugin that requests may use too",
    )
    add("--device", help="cpu, cuda, ... (cuda if there is one)")
    add("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    add("--threads", type=int, help="of PyTorch on a CPU")
    add("--grace", type=float, default=30.0, metavar="SECONDS", help="for open requests after a stop (30)")
    for item in fields(Limits):
        add(
            f"--limit-{item.name.replace('_', '-')}",
            dest=f"limit_{item.name}",
            type=type(item.default),
            default=item.default,
            metavar="N",
            help=f"{_about(item.name)} ({item.default:,})",
        )
    try:
        arguments, rest = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise ValueError(f"{error}; 'diffusionlm serve --help' lists the options.") from None
    if rest:
        from diffusionlm.errors import suggestion

        known = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
        raise ValueError(f"Unknown argument {rest[0]!r}; {suggestion(rest[0], known)}")
    return arguments


def _about(name: str) -> str:
    """Meaning of a limit, from the docstring that says so."""
    from diffusionlm.serving.limits import Limits

    line = next(line for line in (Limits.__doc__ or "").splitlines() if line.strip().startswith(f"{name}: "))
    return line.partition(": ")[2].rstrip(".").replace("%", "%%")


def _models(given: list[str] | None) -> dict[str, str]:
    """Checkpoints by the name that requests give."""
    found: dict[str, str] = {}
    for text in given or []:
        name, separator, source = text.partition("=")
        source = source if separator else name
        name = name if separator else source.rstrip("/").rpartition("/")[2]
        if not name or not source:
            raise ValueError(f"--model takes CHECKPOINT or NAME=CHECKPOINT, got {text!r}.")
        if name in found:
            raise ValueError(f"Two models are called {name!r}; name one of them: --model OTHER={source}.")
        found[name] = source
    if not found:
        raise ValueError("Which model? Give --model restaurant, a folder, or owner/name on the Hub.")
    return found


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
