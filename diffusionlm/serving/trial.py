"""Trial of guidance: made ready in a process of its own before a request is lined up, and given up when it takes too long.

A regular expression of thirty characters can take half a minute to become an automaton. In the thread that writes, it would
hold up everybody; a process can be ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

from diffusionlm.serving.limits import Refusal
from diffusionlm.serving.plugins import from_key

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.spans import Canvas
    from diffusionlm.text import TextTokenizer

_TOO_LARGE = "This guidance needs more memory than there is; ask for a smaller pattern, or fewer phrases."
_KEPT = 2048  # verdicts
_START = 120.0  # seconds for the process to import what it needs


class GuidanceTrial:
    """Says whether guidance can be made ready within a time limit, and what is wrong with it where it cannot.

    Args:
        models: by name; their tokenizers are copied to the process.
        seconds: the limit.
    """

    def __init__(self, models: Mapping[str, DiffusionLMPipeline], seconds: float) -> None:
        self.seconds = seconds
        self._tokenizers = {name: pipe.tokenizer for name, pipe in models.items()}
        self._verdicts: OrderedDict[tuple[str, str, Canvas | None], str] = OrderedDict()
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._turn = asyncio.Lock()
        self._one_each: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # nobody is in line twice

    async def check(self, model: str, key: str, canvases: Iterable[Canvas | None], client: str) -> None:
        """Returns if the guidance is good for these canvases; None asks about the guidance by itself.

        Raises:
            Refusal: with the plugin's sentence, or because it takes too long.
        """
        try:
            async with self._one_each[client]:
                for question in dict.fromkeys((model, key, canvas) for canvas in canvases):
                    await self._judge(question)
        finally:
            if not self._one_each[client].locked():
                del self._one_each[client]

    async def _judge(self, question: tuple[str, str, Canvas | None]) -> None:
        if question not in self._verdicts:
            async with self._turn:
                self._verdicts[question] = await asyncio.to_thread(self._ask, question)
        self._verdicts.move_to_end(question)
        verdict = self._verdicts[question]
        while len(self._verdicts) > _KEPT:
            self._verdicts.popitem(last=False)
        if verdict:
            raise Refusal(400, verdict, "guidance", "guidance")

    def warm_up(self) -> None:
        """Starts the process, so that the first request need not wait for it."""
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_answer, args=(theirs, self._tokenizers), daemon=True)
            self._process.start()
            theirs.close()
            if not self._pipe.poll(_START):
                raise TimeoutError(f"The process that tries guidance did not start within {_START:.0f} s.")
            self._pipe.recv()

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = None

    def _ask(self, question: tuple[str, str, Canvas | None]) -> str:
        self.warm_up()
        assert self._pipe is not None
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
            self._pipe.send(question)
            if self._pipe.poll(self.seconds):
                return self._pipe.recv()
            self.close()
            return f"This guidance takes more than {self.seconds:g} s to be made ready; ask for a smaller one."
        self.close()
        return _TOO_LARGE


def _answer(pipe: Connection, tokenizers: Mapping[str, TextTokenizer]) -> None:
    import torch

    from diffusionlm.guidance import compose

    torch.set_num_threads(1)
    pipe.send("ready")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            model, key, canvas = pipe.recv()
            tokenizer, verdict = tokenizers[model], ""
            try:
                steering = compose(from_key(key), tokenizer.vocabulary)
                if canvas is not None:
                    layout = canvas.lay_out(tokenizer, 1)
                    steering.check([layout], [layout.allowed(tokenizer)])
            except MemoryError:
                verdict = _TOO_LARGE
            except Exception as error:
                verdict = " ".join(str(error).split())[:1000] or type(error).__name__
            pipe.send(verdict)
