"""`DiffusionLMPipeline`: text in, guided text out. The one loop over denoising steps lives here.

Shape letters: B rows (inputs times samples), L span positions, V vocabulary, D embedding size.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from diffusionlm.denoiser import CANVAS, PROMPT, ContextMemory, SpanDenoiser
from diffusionlm.diffusion import NoiseSchedule, schedule_from_dict
from diffusionlm.loading import INDEX, find_folder, load_denoiser, read_index, save_denoiser, write_folder
from diffusionlm.results import GenerationResult, Sample
from diffusionlm.samplers import make_sampler, sampler_to_dict
from diffusionlm.spans import Canvas, CanvasLayout
from diffusionlm.text import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_NOISE_STREAM = 0x5EED  # keeps the noise apart from whatever else is drawn from the same seed


@dataclass
class StepState:
    """What a step looks like from outside; all tensors are on the pipeline's device.

    Attributes:
        step: index of the step, from 0.
        num_steps: how many there are.
        u: progress of the schedule before the step, 1 is noise.
        gamma: noise level before the step.
        log_probs: log of the (guided) token posterior (B, L, V).
        latents: noisy embeddings before the step (B, L, D).
        layouts: the canvas of each row.
        tokenizer: to read the texts.
    """

    step: int
    num_steps: int
    u: float
    gamma: float
    log_probs: Tensor
    latents: Tensor
    layouts: list[CanvasLayout] = field(repr=False)
    tokenizer: TextTokenizer = field(repr=False)

    def best_tokens(self) -> tuple[list[list[str]], list[list[float]]]:
        """The likeliest token of each position as text, and its probability; one list a row."""
        probs, ids = self.log_probs.max(-1)
        strings = self.tokenizer.vocabulary.strings
        tokens = [
            [strings[t] for t in row[: layout.length].tolist()] for row, layout in zip(ids, self.layouts, strict=True)
        ]
        certainty = [
            row[: layout.length].exp().tolist() for row, layout in zip(probs, self.layouts, strict=True)
        ]
        return tokens, certainty

    def texts(self) -> list[str]:
        """The text of each row if the step were the last."""
        ids = self.log_probs.argmax(-1).tolist()
        return [
            layout.assemble(row[: layout.length], self.tokenizer)[0]
            for row, layout in zip(ids, self.layouts, strict=True)
        ]


@dataclass(frozen=True)
class _Row:
    """One sample to be written: its canvas, its prompt ("" for none), its seed, and the input it belongs to."""

    canvas: Canvas
    prompt: str
    seed: int
    source: int


@dataclass(frozen=True)
class _Finished:
    samples: list[Sample]
    clean: list[Tensor]
    trace: Any


class DiffusionLMPipeline(DiffusionPipeline):
    """Writes and fills text with a `SpanDenoiser`.

    Args:
        denoiser: the network.
        tokenizer: its tokenizer.
        sampler: the default sampler, a name or an object.
        schedule: the noise schedule, as a `NoiseSchedule` or its ``to_dict()``.
        max_length: positions that a whole text or a continuation may use.
        max_span_length: positions that a span without a length may use.
        card: facts about the weights (data, licence, figures), as shown by ``diffusionlm info``.

    Example:
        >>> pipe = DiffusionLMPipeline.from_pretrained("restaurant")
        >>> pipe("The [SPAN:5] is a pub near [SPAN].", seed=0).texts  # doctest: +SKIP
    """

    def __init__(
        self,
        denoiser: SpanDenoiser,
        tokenizer: TextTokenizer,
        sampler: Any = "ancestral",
        schedule: NoiseSchedule | dict[str, Any] | None = None,
        max_length: int = 64,
        max_span_length: int = 16,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if tokenizer.vocab_size != denoiser.config.vocab_size:
            raise ValueError(
                f"The tokenizer has {tokenizer.vocab_size} tokens, the denoiser {denoiser.config.vocab_size}: "
                "they do not belong together."
            )
        self.register_modules(denoiser=denoiser, tokenizer=tokenizer, sampler=make_sampler(sampler))
        if schedule is None:
            raise ValueError("The pipeline needs the noise schedule that the denoiser was trained with.")
        self.schedule = schedule if isinstance(schedule, NoiseSchedule) else schedule_from_dict(schedule)
        self.max_length, self.max_span_length = int(max_length), int(max_span_length)
        self.card = dict(card or {})

    # ---- files ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name: str | Path = "restaurant",
        *,
        torch_dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        **config_changes: Any,
    ) -> DiffusionLMPipeline:
        """Loads a bundled checkpoint, a folder, or a Hub repository.

        Args:
            name: a bundled name such as "restaurant", a folder, or "owner/name" on the Hub.
            torch_dtype: dtype of the network.
            device: where to put it.
            config_changes: settings of the denoiser to replace, such as ``attn_implementation="eager"``,
                ``rope_parameters={...}`` or ``max_position_embeddings=512``.

        Raises:
            FileNotFoundError: if the checkpoint or one of its files is missing.
            ValueError: if a file is damaged or the weights do not fit.
        """
        folder = find_folder(name)
        index = read_index(folder)
        missing = [key for key in ("schedule", "max_length", "max_span_length") if key not in index]
        if missing:
            raise ValueError(f"{folder / INDEX} lacks {', '.join(missing)}; it was not written by save_pretrained.")
        denoiser = load_denoiser(folder / "denoiser", index.get("sha256"), **config_changes)
        if torch_dtype is not None:
            denoiser = denoiser.to(torch_dtype)
        pipe = cls(
            denoiser,
            TextTokenizer.from_pretrained(folder / "tokenizer"),
            index.get("sampler", "ancestral"),
            index["schedule"],
            index["max_length"],
            index["max_span_length"],
            index.get("card"),
        )
        return pipe if device is None else pipe.to(device)

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:  # type: ignore[override]
        """Writes a folder that `from_pretrained` reads; nothing half-written is ever left at ``folder``."""

        def write(draft: Path) -> None:
            import json

            checksum = save_denoiser(self.denoiser, draft / "denoiser")
            self.tokenizer.save_pretrained(draft / "tokenizer")
            index = {
                "_class_name": type(self).__name__,
                "denoiser": ["diffusionlm", "SpanDenoiser"],
                "tokenizer": ["diffusionlm", "TextTokenizer"],
                "sampler": sampler_to_dict(self.sampler),
                "schedule": self.schedule.to_dict(),
                "max_length": self.max_length,
                "max_span_length": self.max_span_length,
                "sha256": checksum,
                "card": self.card,
            }
            (draft / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n")

        write_folder(Path(folder), write)

    # ---- writing ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(
        self,
        text: str | Canvas | Sequence[str | Canvas] | None = None,
        *,
        prompt: str | Sequence[str] | None = None,
        num_samples: int = 1,
        steps: int = 32,
        sampler: Any = None,
        temperature: float = 1.0,
        seed: int | None = None,
        guidance: Any = None,
        max_length: int | None = None,
        max_span_length: int | None = None,
        batch_size: int = 64,
        callback_on_step_end: Callable[[DiffusionLMPipeline, int, StepState], None] | None = None,
        output_type: str = "text",
    ) -> GenerationResult | Tensor:
        """Writes texts.

        Args:
            text: a text with ``[SPAN]`` or ``[SPAN:n]``, a `Canvas`, or a list of them; None writes whole texts.
            prompt: a condition such as ``"name[The Mill], food[Italian]"``; one for all inputs, or one for each.
            num_samples: texts for each input.
            steps: denoising steps; 16 to 64 are usual.
            sampler: a name in ``diffusionlm.samplers.SAMPLERS``, a sampler, or a diffusers scheduler.
            temperature: below 1 the token posterior is sharpened.
            seed: of the first sample; sample j has seed + j. A random one if None. The same seed gives the same noise,
                whatever else is in the batch.
            guidance: plugins that steer every step; see ``diffusionlm.guidance``.
            max_length: positions of a whole text or continuation.
            max_span_length: positions of a span without a length.
            batch_size: rows that are denoised at once.
            callback_on_step_end: called as ``callback(pipe, step, state)`` after every step.
            output_type: "text" for a `GenerationResult`, "latents" for the last clean estimates (B, L, D).

        Returns:
            `GenerationResult`, or a tensor for ``output_type="latents"``.

        Raises:
            ValueError: if an argument is out of range or a text does not fit; before any work starts.
        """
        if output_type not in ("text", "latents"):
            raise ValueError(f"output_type must be 'text' or 'latents', got {output_type!r}.")
        settings = {
            "prompt": prompt,
            "num_samples": num_samples,
            "steps": steps,
            "sampler": sampler,
            "temperature": temperature,
            "seed": seed,
            "guidance": guidance,
            "max_length": max_length,
            "max_span_length": max_span_length,
            "batch_size": batch_size,
        }
        clean: list[Tensor] = []
        with self._progress() as advance:
            for item in self._stream(text, keep_clean=clean, **settings):
                if isinstance(item, GenerationResult):
                    result = item
                    continue
                advance(item)
                if callback_on_step_end is not None:
                    callback_on_step_end(self, item.step, item)
        return torch.nn.utils.rnn.pad_sequence(clean, batch_first=True) if output_type == "latents" else result

    def stream(self, text: Any = None, **settings: Any) -> Iterator[StepState | GenerationResult]:
        """As calling the pipeline, but yields a `StepState` after every step and the `GenerationResult` last.

        Takes the arguments of ``__call__`` but for ``callback_on_step_end`` and ``output_type``.
        """
        arguments = _STREAM_DEFAULTS | settings
        unknown = set(arguments) - set(_STREAM_DEFAULTS)
        if unknown:
            raise ValueError(f"stream() does not take {sorted(unknown)}; it takes {sorted(_STREAM_DEFAULTS)}.")
        generator = self._stream(text, keep_clean=[], **arguments)
        while True:
            with torch.no_grad():  # only while the generator runs: the caller's code between steps keeps its gradients
                item = next(generator, None)
            if item is None:
                return
            yield item

    def _stream(
        self,
        text: Any,
        keep_clean: list[Tensor],
        *,
        prompt: Any,
        num_samples: int,
        steps: int,
        sampler: Any,
        temperature: float,
        seed: int | None,
        guidance: Any,
        max_length: int | None,
        max_span_length: int | None,
        batch_size: int,
    ) -> Iterator[StepState | GenerationResult]:
        began = time.perf_counter()
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be an integer of at least 1, got {steps!r}; 16 to 64 are usual.")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature!r}; 1 samples the model as it is.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        rows, batched = self._rows(text, prompt, num_samples, seed, max_length)
        layouts = {}
        for row in rows:
            if row.canvas not in layouts:
                layouts[row.canvas] = self._lay_out(row.canvas, max_span_length)
        solver = self.sampler if sampler is None else make_sampler(sampler)
        solver.set_schedule(self.schedule)
        steering = None
        if guidance is not None:
            from diffusionlm.guidance import compose

            steering = compose(guidance, self.tokenizer.vocabulary)
            steering.check(list(layouts.values()), [layout.allowed(self.tokenizer) for layout in layouts.values()])
        timings = dict.fromkeys(("encode", "network", "guidance", "sampler"), 0.0)
        groups: list[list[Sample]] = [[] for _ in range(rows[-1].source + 1)]
        traces = []
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            for item in self._denoise(part, [layouts[r.canvas] for r in part], steps, solver, temperature, steering, timings):
                if isinstance(item, StepState):
                    yield item
                    continue
                for row, sample in zip(part, item.samples, strict=True):
                    groups[row.source].append(sample)
                keep_clean.extend(item.clean)
                traces.append(item.trace)
        timings["total"] = time.perf_counter() - began
        settings = {
            "steps": steps,
            "sampler": sampler_to_dict(solver),
            "temperature": temperature,
            "num_samples": num_samples,
            "seed": rows[0].seed,
            "guidance": None if steering is None else steering.to_dict(),
        }
        trace = None if steering is None else steering.join(traces)
        yield GenerationResult(groups, timings, settings, batched, trace)

    def _denoise(
        self,
        rows: list[_Row],
        layouts: list[CanvasLayout],
        steps: int,
        solver: Any,
        temperature: float,
        steering: Any,
        timings: dict[str, float],
    ) -> Iterator[StepState | _Finished]:
        """The loop: posterior, guidance, clean estimate, sampler; yields after every step."""
        device, dim = self.denoiser.device, self.denoiser.config.embedding_size
        copies = 1 if steering is None else steering.particles
        rows = [row for row in rows for _ in range(copies)]
        layouts = [layout for layout in layouts for _ in range(copies)]
        longest = max(layout.length for layout in layouts)
        pad = self._pad(layouts, longest)
        span_mask, positions, open_mask, forbidden = (tensor.to(device) for tensor in pad)
        with _timed(timings, "encode"):
            memory = self._memory(rows, layouts)
        generators = [
            torch.Generator().manual_seed(_noise_seed(row.seed, i % copies)) for i, row in enumerate(rows)
        ]

        def draw() -> Tensor:
            out = torch.zeros(len(rows), longest, dim)
            for i, (layout, generator) in enumerate(zip(layouts, generators, strict=True)):
                out[i, : layout.length] = torch.randn(layout.length, dim, generator=generator)
            return out.to(device)

        plain_memory: list[ContextMemory | None] = []

        def posterior(z: Tensor, gamma: Tensor, estimate: Tensor | None, without_prompt: bool = False) -> Tensor:
            used = memory
            if without_prompt:
                if not plain_memory:
                    plain_memory.append(self._memory([_Row(r.canvas, "", r.seed, r.source) for r in rows], layouts))
                used = plain_memory[0]
            logits = self.denoiser(z, gamma, used, estimate, span_mask, positions, open_mask).logits
            return (logits / temperature).masked_fill(forbidden, -torch.inf).log_softmax(-1)

        solver.set_timesteps(steps, device=device)
        session = None
        if steering is not None:
            session = steering.begin(
                layouts, ~forbidden, span_mask, self.denoiser.unit_embeddings(), [row.seed for row in rows], steps
            )
        latents, estimate = draw(), None
        log_probs = latents  # replaced at the first step
        for i in range(steps):
            gamma, u = solver.gammas[i].to(device, torch.float32), float(solver.u[i])
            with _timed(timings, "network"):
                log_probs = posterior(latents, gamma, estimate)
            if session is not None:
                with _timed(timings, "guidance"):
                    guided = session.guide(
                        log_probs,
                        latents,
                        gamma,
                        u,
                        i,
                        lambda z, plain=False, g=gamma, e=estimate: posterior(z, g, e, plain),
                    )
                    log_probs, latents = guided.log_probs, guided.latents
                    if guided.rows is not None:
                        solver.select(guided.rows)
            with _timed(timings, "sampler"):
                clean = self.denoiser.clean_estimate(log_probs.exp())
                state = StepState(i, steps, u, float(gamma), log_probs, latents, layouts, self.tokenizer)
                latents = solver.step(clean, i, latents, draw() if solver.noise_per_step else None)
                estimate = clean
            yield state
        if not bool(torch.isfinite(estimate).all()):
            raise FloatingPointError("The denoiser gave NaN; load it in float32 or bfloat16, and check the weights.")
        if session is None:
            ids, chosen, certificates = log_probs.argmax(-1), list(range(len(rows))), [{} for _ in rows]
        else:
            ids, chosen, certificates = session.finish(log_probs)
        samples, kept = [], []
        for row in chosen:
            layout = layouts[row]
            tokens = ids[row, : layout.length].tolist()
            text, written = layout.assemble(tokens, self.tokenizer)
            spans = layout.span_ids(tokens, self.tokenizer.pad_id)
            samples.append(Sample(text, written, spans, rows[row].seed, certificates[row]))
            kept.append(estimate[row, : layout.length])
        yield _Finished(samples, kept, None if session is None else session.trace)

    # ---- preparing --------------------------------------------------------------------------------------------------

    def _rows(
        self, text: Any, prompt: Any, num_samples: int, seed: int | None, max_length: int | None
    ) -> tuple[list[_Row], bool]:
        if not isinstance(num_samples, int) or num_samples < 1:
            raise ValueError(f"num_samples must be an integer of at least 1, got {num_samples!r}.")
        limit = self.max_length if max_length is None else max_length
        if not 1 <= limit <= self.denoiser.config.max_position_embeddings:
            raise ValueError(
                f"max_length must lie in 1..{self.denoiser.config.max_position_embeddings}, got {limit}."
            )
        batched = isinstance(text, (list, tuple)) or isinstance(prompt, (list, tuple))
        texts = list(text) if isinstance(text, (list, tuple)) else [text]
        prompts = list(prompt) if isinstance(prompt, (list, tuple)) else [prompt]
        if not texts or not prompts:
            raise ValueError("The list of inputs is empty.")
        count = max(len(texts), len(prompts))
        if {len(texts), len(prompts)} - {1, count}:
            raise ValueError(f"There are {len(texts)} texts and {len(prompts)} prompts; give one prompt for all, or one for each.")
        texts, prompts = texts * (count // len(texts)), prompts * (count // len(prompts))
        first = int(np.random.SeedSequence().generate_state(1)[0] >> 2) if seed is None else int(seed)
        if first < 0:
            raise ValueError(f"seed must not be negative, got {seed}.")
        rows = []
        for source, (given, condition) in enumerate(zip(texts, prompts, strict=True)):
            if given is None:
                canvas = Canvas.whole(limit)
            elif isinstance(given, Canvas):
                canvas = given
            elif isinstance(given, str):
                canvas = Canvas.parse(given)
            else:
                raise TypeError(f"text must be a string, a Canvas, None, or a list of these, got {type(given).__name__}.")
            if condition is not None and not isinstance(condition, str):
                raise TypeError(f"prompt must be a string or a list of strings, got {type(condition).__name__}.")
            rows += [_Row(canvas, condition or "", first + j, source) for j in range(num_samples)]
        return rows, batched

    def _lay_out(self, canvas: Canvas, max_span_length: int | None) -> CanvasLayout:
        default = self.max_span_length if max_span_length is None else max_span_length
        if default < 1:
            raise ValueError(f"max_span_length must be at least 1, got {default}.")
        layout = canvas.lay_out(self.tokenizer, default)
        allowed = self.denoiser.config.max_position_embeddings
        if layout.total > allowed:
            raise ValueError(
                f"The canvas has {layout.total} tokens ({layout.length} to write), the model takes {allowed}. Shorten the "
                "text or its spans, or load the model with a larger max_position_embeddings and RoPE scaling."
            )
        return layout

    def _pad(self, layouts: list[CanvasLayout], longest: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """span_mask, positions, open_mask (B, L) and forbidden (B, L, V); unused positions hold pad alone."""
        count, vocabulary = len(layouts), self.tokenizer.vocabulary
        span_mask = torch.zeros(count, longest, dtype=torch.bool)
        positions = torch.zeros(count, longest, dtype=torch.long)
        open_mask = torch.zeros(count, longest, dtype=torch.bool)
        forbidden = torch.ones(count, longest, len(vocabulary), dtype=torch.bool)
        forbidden[..., vocabulary.pad_id] = False
        known: dict[Canvas, Tensor] = {}
        for i, layout in enumerate(layouts):
            n = layout.length
            span_mask[i, :n] = True
            positions[i, :n] = layout.span_positions
            open_mask[i, :n] = layout.open_mask
            if layout.canvas not in known:
                known[layout.canvas] = ~layout.allowed(self.tokenizer)
            forbidden[i, :n] = known[layout.canvas]
        return span_mask, positions, open_mask, forbidden

    def _memory(self, rows: list[_Row], layouts: list[CanvasLayout]) -> ContextMemory | None:
        """Prompt and known text of each row; each distinct input is encoded once."""
        keys = list(dict.fromkeys((row.prompt, row.canvas) for row in rows))
        by_key = {(row.prompt, row.canvas): layout for row, layout in zip(rows, layouts, strict=True)}
        prompts = [self.tokenizer.encode(prompt) if prompt else [] for prompt, _ in keys]
        limit = 2 * self.denoiser.config.max_position_embeddings
        for ids in prompts:
            if len(ids) > limit:
                raise ValueError(f"The prompt has {len(ids)} tokens, at most {limit} are allowed.")
        memories = []
        if any(prompts):
            at = [torch.arange(-len(ids), 0) for ids in prompts]
            memories.append(self._encode([torch.tensor(ids, dtype=torch.long) for ids in prompts], at, PROMPT))
        known = [by_key[key] for key in keys]
        if any(len(layout.known_ids) for layout in known):
            memories.append(
                self._encode([layout.known_ids for layout in known], [layout.known_positions for layout in known], CANVAS)
            )
        if not memories:
            return None
        index = {key: i for i, key in enumerate(keys)}
        wanted = torch.tensor([index[(row.prompt, row.canvas)] for row in rows], device=self.denoiser.device)
        return ContextMemory.concat(memories).select(wanted)

    def _encode(self, ids: list[Tensor], positions: list[Tensor], segment: int) -> ContextMemory:
        device = self.denoiser.device
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=self.tokenizer.pad_id)
        at = torch.nn.utils.rnn.pad_sequence(positions, batch_first=True)
        mask = torch.arange(padded.shape[1]) < torch.tensor([len(row) for row in ids])[:, None]
        return self.denoiser.encode_context(padded.to(device), None, mask.to(device), at.to(device), segment)

    @contextmanager
    def _progress(self) -> Iterator[Callable[[StepState], None]]:
        """A progress bar over the steps of each batch; ``pipe.set_progress_bar_config(disable=True)`` hides it."""
        bars: list[Any] = []

        def advance(state: StepState) -> None:
            if state.step == 0:
                bars.append(self.progress_bar(total=state.num_steps))
            bars[-1].update()

        try:
            yield advance
        finally:
            for bar in bars:
                bar.close()


_STREAM_DEFAULTS: dict[str, Any] = {
    "prompt": None,
    "num_samples": 1,
    "steps": 32,
    "sampler": None,
    "temperature": 1.0,
    "seed": None,
    "guidance": None,
    "max_length": None,
    "max_span_length": None,
    "batch_size": 64,
}


def _noise_seed(seed: int, copy: int) -> int:
    state = np.random.SeedSequence((seed, _NOISE_STREAM, copy)).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        timings[name] += time.perf_counter() - began
