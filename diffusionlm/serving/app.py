"""The HTTP service: routes in OpenAI's form, health and metrics. `make_app` makes it, `diffusionlm serve` runs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from diffusionlm import __version__
from diffusionlm.errors import suggestion
from diffusionlm.serving.access import Access, read_raw
from diffusionlm.serving.bodies import ChatBody, CompletionBody, read_body, read_json
from diffusionlm.serving.choosing import ChooseBody, Question, choice_answer, read_question
from diffusionlm.serving.events import EventStream, wait_for
from diffusionlm.serving.limits import Limits, Refusal
from diffusionlm.serving.metrics import Metrics
from diffusionlm.serving.reading import read_chat, read_completion
from diffusionlm.serving.responses import Answer
from diffusionlm.serving.rows import WorkRow
from diffusionlm.serving.server_paths import keep_back
from diffusionlm.serving.trial import GuidanceTrial
from diffusionlm.serving.worker import ModelWorker, Ticket

if TYPE_CHECKING:
    from diffusionlm.pipeline import DiffusionLMPipeline
    from diffusionlm.spans import Canvas

_log = logging.getLogger(__name__)


class Service:
    """The models that are served, and what all routes share.

    Args:
        models: by the name that requests give.
        limits: of requests.
        keys: API keys; none lets everybody in.
        also: names of plugins that requests may use beside the built-in ones.
    """

    def __init__(
        self,
        models: Mapping[str, DiffusionLMPipeline],
        limits: Limits,
        keys: Sequence[str] = (),
        also: Sequence[str] = (),
    ) -> None:
        if not models:
            raise ValueError("The service needs at least one model.")
        self.limits, self.also, self.access, self.metrics = limits, tuple(also), Access(keys), Metrics()
        self.workers = {name: ModelWorker(name, pipe, limits, self.metrics) for name, pipe in models.items()}
        self.trial = GuidanceTrial(models, limits.compile)
        for folder in {resource.parent for pipe in models.values() for resource in pipe.resources}:
            keep_back(folder)
        self.draining = False
        self.began = int(time.time())

    @property
    def ready(self) -> bool:
        """True if requests are taken."""
        return not self.draining and all(worker.alive for worker in self.workers.values())

    def worker(self, name: str) -> ModelWorker:
        """The worker of a model.

        Raises:
            Refusal: if no model has this name.
        """
        if name not in self.workers:
            raise Refusal(
                404,
                f"There is no model {name[:100]!r}; {suggestion(name[:100], self.workers)}",
                "model_not_found",
                "model",
            )
        return self.workers[name]

    async def line_up(
        self,
        worker: ModelWorker,
        rows: Sequence[WorkRow | Question],
        guidance: str,
        canvases: Sequence[Canvas],
        client: str,
        drafts: bool,
    ) -> Ticket:
        """A request in the queue, once its guidance is known to be good: on its canvases, or by itself where it has none.

        Raises:
            Refusal: if its guidance is not, too much is waiting, or the service is stopping.
        """
        if self.draining:
            raise Refusal(503, "The service is stopping; try again later.", "stopping", retry=5)
        if guidance:
            await self.trial.check(worker.name, guidance, canvases or [None], client)
        ticket = Ticket(rows, client, drafts)
        worker.submit(ticket)
        return ticket

    def start(self) -> None:
        """Starts the threads that write, and the process that tries guidance."""
        for worker in self.workers.values():
            worker.start()

    def stop(self) -> None:
        """Ends them, after the batches that are being written."""
        self.draining = True
        for worker in self.workers.values():
            worker.stop()
        self.trial.close()


def make_app(service: Service) -> FastAPI:
    """The service as an ASGI application; its life is that of the application's lifespan."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await asyncio.to_thread(service.stop)

    app = FastAPI(title="diffusionlm", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    app.state.service = service

    async def text_answer(request: Request, client: str, data: dict[str, Any], chat: bool) -> Response:
        body: Any = read_body(ChatBody if chat else CompletionBody, data)
        worker = service.worker(body.model)
        read = read_chat if chat else read_completion
        order = await asyncio.to_thread(read, body, worker.pipe, service.limits, service.also)
        canvases = [row.canvas for row in order.rows]
        drafts = bool(body.stream) and body.drafts
        ticket = await service.line_up(worker, order.rows, order.rows[0].settings.guidance, canvases, client, drafts)
        form, seconds, path = Answer(order, body.model, chat), service.limits.seconds, request.url.path
        if body.stream:
            usage = body.stream_options is not None and body.stream_options.include_usage
            return EventStream(
                ticket, worker, form, seconds, usage, lambda status: service.metrics.answered(path, status)
            )
        return JSONResponse(form.whole(await wait_for(ticket, worker, request, seconds)))

    async def choose_answer(request: Request, client: str, data: dict[str, Any]) -> Response:
        body = read_body(ChooseBody, data)
        worker = service.worker(body.model)
        question = read_question(body, worker.pipe, service.limits, service.also)
        ticket = await service.line_up(worker, [question], question.guidance, [], client, False)
        (choices,) = await wait_for(ticket, worker, request, service.limits.seconds)
        return JSONResponse(choice_answer(choices, body.model))

    async def guarded(request: Request, answer: Callable[..., Awaitable[Response]]) -> Response:
        """Lets in who may ask, reads the body, and turns what goes wrong into an answer."""
        path = request.url.path
        service.metrics.opened()
        try:
            try:
                client = service.access.client(request)
                data = read_json(await read_raw(request, service.limits))
                response = await answer(request, client, data)
            except ValueError as error:
                raise Refusal(400, " ".join(str(error).split())[:1000]) from None
        except Refusal as refusal:
            response = _refused(refusal)
        except Exception:
            _log.exception("A request to %s failed", path)
            response = _refused(Refusal(500, "The service failed at this request; its log says why.", "internal"))
        if not isinstance(response, EventStream):  # which tells by itself how it ended
            service.metrics.answered(path, response.status_code)
        return response

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        """Continues, fills or writes texts."""
        return await guarded(request, partial(text_answer, chat=False))

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        """Answers the last turn of a conversation, where the model can."""
        return await guarded(request, partial(text_answer, chat=True))

    @app.post("/v1/choose")
    async def choose(request: Request) -> Response:
        """Probabilities of the options that a text leaves open."""
        return await guarded(request, choose_answer)

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        """The models that are served."""
        try:
            service.access.client(request)
        except Refusal as refusal:
            return _refused(refusal)
        return JSONResponse({"object": "list", "data": [_model(service, name) for name in service.workers]})

    @app.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> Response:
        """One model."""
        try:
            service.access.client(request)
            service.worker(name)
        except Refusal as refusal:
            return _refused(refusal)
        return JSONResponse(_model(service, name))

    @app.get("/health")
    async def health() -> Response:
        """200 while the process is alive."""
        return JSONResponse({"status": "alive", "version": __version__})

    @app.get("/ready")
    async def ready() -> Response:
        """200 while requests are taken, else 503."""
        state = "ready" if service.ready else "stopping" if service.draining else "not ready"
        return JSONResponse({"status": state}, 200 if service.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters for Prometheus."""
        for name, worker in service.workers.items():
            service.metrics.queued(name, worker.waiting)
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        routes = "/v1/completions, /v1/chat/completions, /v1/choose, /v1/models, /health, /ready, /metrics"
        sentence = f"There is no {request.method} {request.url.path[:100]}; there are {routes}."
        return _refused(Refusal(error.status_code, sentence, "not_found"))

    return app


def _refused(refusal: Refusal) -> Response:
    headers = {"retry-after": str(refusal.retry)} if refusal.retry else {}
    if refusal.status == 401:
        headers["www-authenticate"] = "Bearer"
    if refusal.status in (408, 413):
        headers["connection"] = "close"  # the rest of the body is not read
    return JSONResponse(refusal.body(), refusal.status, headers=headers)


def _model(service: Service, name: str) -> dict[str, Any]:
    pipe = service.workers[name].pipe
    own = {
        "summary": pipe.card.get("summary"),
        "languages": pipe.card.get("languages"),
        "fields": pipe.card.get("fields"),
        "max_length": pipe.max_length,
        "chat": bool(pipe.card.get("replies") or getattr(pipe.tokenizer, "chat_template", None)),
    }
    return {"id": name, "object": "model", "created": service.began, "owned_by": "diffusionlm", **own}
