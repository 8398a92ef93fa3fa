"""`DiffusionLMPipeline`: text in, guided text out; the loop over denoising steps is `diffusionlm.generation.loop`."""

from __future__ import annotations

import copy
import time
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from diffusionlm.checkpoints.adapter_mixin import AdapterMixin
from diffusionlm.checkpoints.adapters import BASE, AdaptedModel
from diffusionlm.checkpoints.folders import READERS, find_folder
from diffusionlm.checkpoints.foreign import foreign_parts, is_foreign, load_foreign
from diffusionlm.checkpoints.loading import check_placement, config_keys, load_parts, one_dtype, save_parts
from diffusionlm.context.binding import bind
from diffusionlm.denoiser import DiffusionModel, SpanDenoiser, span_model
from diffusionlm.denoiser.memory_cache import MemoryCache
from diffusionlm.diffusion import MaskingSchedule, NoiseSchedule, schedule_from_dict
from diffusionlm.errors import refuse_unknown
from diffusionlm.generation.blocks import WholeLayout
from diffusionlm.generation.fields import check_fields
from diffusionlm.generation.long_texts import LongTexts
from diffusionlm.generation.loop import DenoisingLoop
from diffusionlm.generation.requests import LONGEST_TEXT, CallSettings, check_count, check_weight, lay_out, read_rows
from diffusionlm.generation.results import GenerationResult, Sample, StepState
from diffusionlm.generation.retries import Attempts
from diffusionlm.generation.temperatures import interpolate, read_temperatures
from diffusionlm.samplers import DEFAULT_SAMPLERS, Sampler, check_process, make_sampler, sampler_to_dict
from diffusionlm.text import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from diffusers.schedulers.scheduling_utils import SchedulerMixin

    from diffusionlm.context.concept import LearnedConcept
    from diffusionlm.families import Loaded
    from diffusionlm.guidance.engine.composition import Steering
    from diffusionlm.spans import Canvas, CanvasLayout
    from diffusionlm.structured.choosing import Choices

_LOADING = ("torch_dtype", "dtype", "device")
_SETTINGS = [item.name for item in fields(CallSettings)]
_OF_PLUGINS = (
    "weight",
    "schedule",
    "window",
    "budget",
    "priority",
    "below",
    "above",
    "attempts",
    "normalise",
    "strategy",
)


class DiffusionLMPipeline(AdapterMixin, DiffusionPipeline):
    """Writes and fills text with a `SpanDenoiser`.

    Args:
        denoiser: the network, a `SpanDenoiser`; or any other `DiffusionModel`.
        tokenizer: its tokenizer.
        sampler: the default sampler, a name or an object; None takes the usual one of the model's process.
        schedule: the noise schedule, as a `NoiseSchedule` or its ``to_dict()``; a masked model may leave it out.
        max_length: positions that a whole text or a continuation may use.
        max_span_length: positions that a span without a length may use.
        card: facts about the weights (data, licence, figures), as shown by ``diffusionlm info``.
        temperature: the default of ``__call__``, a number, or a mapping from numbers of steps to the temperature that suits
            each: few steps make more mistakes, which a lower temperature balances. See `temperature_at`.
        best_of: the default of ``__call__``.
        steps: the default of ``__call__``.
        bigrams: the default of ``__call__``.

    Attributes:
        context_cache: passages, concepts, images and sounds that were encoded already: ``info()`` and ``clear()``.
        resources: folders of classifiers and tables for guidance that belong to this model, one folder for each of them.

    Example:
        >>> pipe = DiffusionLMPipeline.from_pretrained("restaurant")
        >>> pipe("The [SPAN:2] is a pub [SPAN:5] near [SPAN].", seed=0).texts  # doctest: +SKIP
    """

    # set by register_modules; the base class comes untyped
    denoiser: SpanDenoiser
    tokenizer: TextTokenizer
    sampler: Sampler
    register_modules: Any
    progress_bar: Any
    set_progress_bar_config: Any

    def __init__(
        self,
        denoiser: SpanDenoiser | DiffusionModel,
        tokenizer: TextTokenizer,
        sampler: str | Sampler | SchedulerMixin | Mapping[str, Any] | None = None,
        schedule: NoiseSchedule | dict[str, Any] | None = None,
        max_length: int = 64,
        max_span_length: int = 16,
        card: dict[str, Any] | None = None,
        temperature: float | Mapping[int, float] = 1.0,
        best_of: int = 1,
        steps: int = 32,
        bigrams: float = 0.0,
    ) -> None:
        super().__init__()
        ours = isinstance(denoiser, SpanDenoiser)
        model: DiffusionModel = span_model(denoiser) if ours else denoiser  # type: ignore[arg-type, assignment]
        if tokenizer.vocab_size != model.vocab_size:
            raise ValueError(
                f"The tokenizer has {tokenizer.vocab_size} tokens, the denoiser {model.vocab_size}: "
                "they do not belong together."
            )
        self._model = None if ours else model
        sampler = make_sampler(DEFAULT_SAMPLERS[model.process] if sampler is None else sampler)
        check_process(sampler, model.process)
        network = denoiser if ours else model.network  # type: ignore[attr-defined]
        self.register_modules(denoiser=network, tokenizer=tokenizer, sampler=sampler)
        if schedule is None and model.process == "gaussian":
            raise ValueError("The pipeline needs the noise schedule that the denoiser was trained with.")
        schedule = MaskingSchedule() if schedule is None else schedule
        self.schedule = schedule if isinstance(schedule, NoiseSchedule) else schedule_from_dict(schedule)
        if card is not None and not isinstance(card, dict):
            raise ValueError(f"card must be a dictionary of facts about the weights, got {card!r}.")
        self.max_length = check_count("max_length", max_length)
        self.max_span_length = check_count("max_span_length", max_span_length)
        self.temperature = temperature
        self.best_of = check_count("best_of", best_of)
        self.steps = check_count("steps", steps)
        self.bigrams = bigrams
        self.resources: list[Path] = []
        self.card = dict(card or {})
        self.concepts: dict[str, LearnedConcept] = {}
        self.context_cache = MemoryCache()

    @property
    def model(self) -> DiffusionModel:
        """The network behind the contract that the loop, guidance and evaluation speak."""
        return span_model(self.denoiser, self.context_cache) if self._model is None else self._model

    # ---- the default temperature ------------------------------------------------------------------------------------

    @property
    def temperature(self) -> float:
        """The default temperature at 32 steps. May be set, to a number or a mapping as in the constructor."""
        return self.temperature_at(32)

    @temperature.setter
    def temperature(self, value: float | Mapping[int, float]) -> None:
        self._temperatures = read_temperatures(value)

    def temperature_at(self, steps: int) -> float:
        """The default temperature of a call with so many steps: linear in log(steps) between those that were given, constant
        outside."""
        return interpolate(self._temperatures, steps)

    # ---- neighbouring words ------------------------------------------------------------------------------------------

    @property
    def bigrams(self) -> float:
        """The default weight of the bigram model. May be set; 0 leaves it out."""
        return self._bigrams

    @bigrams.setter
    def bigrams(self, value: float) -> None:
        self._bigrams = check_weight("bigrams", value)

    # ---- files ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "restaurant",
        *,
        torch_dtype: torch.dtype | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        **config_changes: Any,
    ) -> DiffusionLMPipeline:
        """Loads a bundled checkpoint, a folder, or a Hub repository.

        Args:
            name: a bundled name such as "restaurant", a folder, or "owner/name" on the Hub.
            torch_dtype: dtype of the network; None: as saved.
            dtype: the same, as transformers calls it now.
            device: where to put it.
            config_changes: settings of the denoiser to replace, such as ``attn_implementation="eager"``,
                ``rope_parameters={...}`` or ``max_position_embeddings=512``; for somebody else's model ``family``, ``shift``,
                ``attention``, ``mask_token`` and the other switches of `diffusionlm.checkpoints.foreign.load_foreign`.

        Raises:
            FileNotFoundError: if the checkpoint or one of its files is missing.
            ValueError: if a file is damaged, the weights do not fit, or this machine has no such device.
            TypeError: if the denoiser has no such setting.
        """
        torch_dtype = one_dtype(torch_dtype, dtype)
        check_placement(torch_dtype, device)
        folder = find_folder(name)
        if is_foreign(folder):
            pipe = cls._of(load_foreign(folder, torch_dtype, device, **config_changes), device)
        else:
            refuse_unknown("from_pretrained()", config_changes, [*_LOADING, *config_keys()])
            pipe = cls(**load_parts(folder, torch_dtype, **config_changes))
        if (folder / READERS).is_dir():
            pipe.resources.append(folder / READERS)
        if (folder / "concepts").is_dir():
            from diffusionlm.context.concept import LearnedConcept

            for path in sorted((folder / "concepts").glob("*.safetensors")):
                pipe.concepts[path.stem] = LearnedConcept.load(path)
        return pipe if device is None else pipe.to(device)

    @classmethod
    def from_model(cls, model: torch.nn.Module, tokenizer: Any, **switches: Any) -> DiffusionLMPipeline:
        """Takes a model object of transformers that somebody else made, wherever its code comes from.

        Args:
            model: a masked language model, or a decoder that was trained as a masked diffusion model.
            tokenizer: a fast tokenizer of transformers.
            switches: ``family="masked"``, ``shift``, ``attention``, ``mask_token``, ``end_token``, ``chat``; see
                `diffusionlm.checkpoints.foreign.foreign_parts`.

        Raises:
            TypeError: for a switch that does not exist.
            ValueError: if model, tokenizer and switches do not fit together.
        """
        return cls._of(foreign_parts(model, tokenizer, **switches), None)

    def to(self, *args: Any, **kwargs: Any) -> DiffusionLMPipeline:
        """Moves the network, as diffusers does: ``pipe.to("cuda")``, ``pipe.to(torch.bfloat16)``; returns the pipeline.

        Raises:
            ValueError: if the device cannot be used here.
        """
        for given in (*args, *kwargs.values()):
            if isinstance(given, (str, torch.device)):
                check_placement(None, given)
        moved: DiffusionLMPipeline = super().to(*args, **kwargs)  # type: ignore[misc]
        return moved

    @classmethod
    def _of(cls, loaded: Loaded, device: str | torch.device | None) -> DiffusionLMPipeline:
        pipe = cls(loaded.model, loaded.tokenizer, **loaded.defaults)  # type: ignore[arg-type]
        return pipe if device is None else pipe.to(device)

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Writes a folder that `from_pretrained` reads; nothing half-written is ever left at ``folder``.

        Raises:
            ValueError: for somebody else's model, which has a format of its own; or where an adapter is set.
        """
        if self._model is not None:
            raise ValueError(
                f"The model is somebody else's ({type(self.denoiser).__name__}) and keeps its own format: save it with "
                "transformers, and load that folder with from_pretrained."
            )
        if self._adapters is not None and self._adapters.active is not None:
            raise ValueError(
                f"The adapter {self._adapters.active!r} is set and would be lost: merge_adapter() writes it into the weights, "
                "set_adapter(None) saves the base alone."
            )
        settings = {
            "sampler": sampler_to_dict(self.sampler),
            "schedule": self.schedule.to_dict(),
            "max_length": self.max_length,
            "max_span_length": self.max_span_length,
            "temperature": self._temperatures if len(self._temperatures) > 1 else self.temperature,
            "card": self.card,
        }
        settings |= {"best_of": self.best_of} if self.best_of > 1 else {}
        settings |= {"steps": self.steps} if self.steps != 32 else {}
        settings |= {"bigrams": self.bigrams} if self.bigrams else {}
        save_parts(Path(folder), self.denoiser, self.tokenizer, settings, self.resources)

    # ---- longer texts -----------------------------------------------------------------------------------------------

    def scale_positions(self, length: int, method: str | None = None) -> str:
        """Lets the model take texts of ``length`` positions at once, more than those of its training, by scaling RoPE.

        Args:
            length: positions of the longest text.
            method: of ``diffusionlm.denoiser.position_scaling.METHODS``; None takes the one that did best where the weights
                were measured (``card["positions"]``), and warns beyond what was.

        Returns:
            The method.

        Raises:
            ValueError: if the length is below that of training, or the method does not suit the model.
            TypeError: if the network is not a `SpanDenoiser`.
        """
        from diffusionlm.denoiser.position_scaling import check_longer, chosen_method, scale_positions

        if self._model is not None:
            raise TypeError(f"Positions are scaled of a SpanDenoiser, not of {type(self._model).__name__}.")
        length = check_count("length", length)
        check_longer(self.denoiser, length)  # before anything is said of what was measured
        if method is None:
            method = chosen_method(self.card.get("positions"), length, self.denoiser.config.position_kind)
        scale_positions(self.denoiser, method, length)
        return method

    # ---- concepts ---------------------------------------------------------------------------------------------------

    def learn_concept(self, name: str, texts: Sequence[str], vectors: int = 40, **settings: Any) -> LearnedConcept:
        """Learns what a few texts have in common as vectors in memory; no weight of the model changes.

        The concept is kept in ``pipe.concepts``, so that ``Concept(name)`` and ``[CONCEPT:name]`` find it; ``.save(folder)``
        writes it to a file.

        Args:
            name: of the concept.
            texts: 3 to 5 examples are usual.
            vectors: how many positions of memory stand for it.
            settings: steps, learning_rate, batch_size, seed, on_step of ``diffusionlm.context.inversion.learn_concept``.

        Raises:
            ValueError: if an argument is out of range, or a text is empty or too long.
        """
        from diffusionlm.context.inversion import learn_concept

        refuse_unknown("learn_concept()", settings, ["steps", "learning_rate", "batch_size", "seed", "on_step"])
        self.concepts[name] = learn_concept(self, name, texts, vectors, **settings)
        return self.concepts[name]

    # ---- writing ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(
        self,
        text: str | Canvas | Sequence[str | Canvas] | None = None,
        *,
        prompt: str | Sequence[str] | None = None,
        num_samples: int = 1,
        steps: int | None = None,
        sampler: Any = None,
        temperature: float | None = None,
        seed: int | Sequence[int] | None = None,
        guidance: Any = None,
        max_length: int | None = None,
        max_span_length: int | None = None,
        batch_size: int = 64,
        best_of: int | None = None,
        block_length: int | None = None,
        fluency: float | None = None,
        bigrams: float | None = None,
        adapter: str | None = None,
        context: Any = None,
        callback_on_step_end: Callable[[DiffusionLMPipeline, int, StepState], None] | None = None,
        output_type: str = "text",
        **unknown: Any,
    ) -> Any:
        """Writes texts.

        Args:
            text: a text with ``[SPAN]`` or ``[SPAN:n]``, a `Canvas`, or a list of them; None writes whole texts.
            prompt: a condition such as ``"name[The Mill], food[Italian]"``; one for all inputs, or one for each. A field that
                the checkpoint's card does not list is warned of.
            num_samples: texts for each input.
            steps: denoising steps; 16 to 64 are usual. None takes the checkpoint's own, 32 unless it says otherwise.
            sampler: a name in ``diffusionlm.samplers.SAMPLERS``, a sampler, or a diffusers scheduler.
            temperature: below 1 the choice among words is surer and less varied; when a text ends is left as it was. None
                takes the checkpoint's own for this number of steps.
            seed: of the first sample, one for all inputs or one for each; sample j has seed + j. A random one if None. The
                same seed gives the same noise, whatever else is in the batch.
            guidance: plugins that steer every step; see ``diffusionlm.guidance``.
            max_length: positions of a whole text or continuation. A text of more positions than the model takes is written in
                blocks, each behind a sliding window of what came before; rules hold over all of it.
            max_span_length: positions of a span without a length.
            batch_size: rows that are denoised at once.
            best_of: candidates of each text, of which the one is returned that the model is surest of, among those that meet
                most goals. They share the first half of the steps, so that n cost (n + 1) / 2 texts; under guidance, whose
                state follows each of them, and with a sampler that adds no noise they are written from the start and cost n.
                None takes the checkpoint's own.
            block_length: positions that are written at once, where a text is written in blocks; half of what the model takes
                if None. If it is given, every text is written so.
            fluency: floor, from 0 to 1, of `Sample.fluency`: texts below it are written up to three times, of which the one is
                kept that misses fewer goals, then by less; what stays below is told of in ``result.unmet``. Beside goals, which
                broken text may reach. Most of a model's own texts lie above 0.8; 0.3 catches wreckage only. Costs two more
                passes of the network for each text; 0 only measures.
            bigrams: weight of the bigram model of the training text (`diffusionlm.guidance.Bigrams`), a part of the model on
                which guidance acts; 0 leaves it out, as does guidance that names the plugin itself. None takes the
                checkpoint's own.
            adapter: name of an adapter for this call, or "base" for none; None takes what `set_adapter` set.
            context: what the spans may look at beside prompt and known text: sources of ``diffusionlm.context``, such as
                ``[Retrieved(store, k=4), Concept("house-style")]``.
            callback_on_step_end: called as ``callback(pipe, step, state)`` after every step.
            output_type: "text" for a `GenerationResult`, "latents" for the last clean estimates (B, L, D).
            unknown: refused, with a suggestion.

        Returns:
            `GenerationResult`, or a tensor for ``output_type="latents"``.

        Raises:
            TypeError: for an argument that does not exist.
            ValueError: if an argument is out of range or a text does not fit; before any work starts.
        """
        refuse_unknown("pipe()", unknown, [*_SETTINGS, "callback_on_step_end", "output_type"], _OF_PLUGINS)
        if output_type not in ("text", "latents"):
            raise ValueError(f"output_type must be 'text' or 'latents', got {output_type!r}.")
        if callback_on_step_end is not None and not callable(callback_on_step_end):
            raise TypeError(
                f"callback_on_step_end must be a function of (pipe, step, state), got {callback_on_step_end!r}."
            )
        if output_type == "latents" and self.model.embeddings() is None:
            raise ValueError("This model offers no token embeddings, so there are no clean estimates to return.")
        call = CallSettings(
            prompt=prompt,
            num_samples=num_samples,
            steps=steps,
            sampler=sampler,
            temperature=temperature,
            seed=seed,
            guidance=guidance,
            max_length=max_length,
            max_span_length=max_span_length,
            batch_size=batch_size,
            best_of=best_of,
            block_length=block_length,
            fluency=fluency,
            bigrams=bigrams,
            adapter=adapter,
            context=context,
        )
        clean: list[Tensor] = []
        with self._progress() as advance:
            for item in self._stream(text, call, keep_clean=clean):
                if isinstance(item, GenerationResult):
                    result = item
                    continue
                advance(item)
                if callback_on_step_end is not None:
                    callback_on_step_end(self, item.step, item)
        return torch.nn.utils.rnn.pad_sequence(clean, batch_first=True) if output_type == "latents" else result

    def stream(self, text: Any = None, **settings: Any) -> Iterator[StepState | GenerationResult]:
        """As calling the pipeline, but yields a `StepState` after every step and the `GenerationResult` last.

        Takes the arguments of ``__call__`` but for ``callback_on_step_end`` and ``output_type``, and refuses what it refuses at
        once, not at the first step.
        """
        refuse_unknown("stream()", settings, _SETTINGS, _OF_PLUGINS)
        with torch.no_grad():
            return _without_gradients(self._stream(text, CallSettings(**settings), keep_clean=[]))

    def json(self, schema: Any, text: Any = None, **settings: Any) -> list[Any]:
        """Objects that follow a JSON Schema, a pydantic model or a TypedDict; see `diffusionlm.structured.generate_json`."""
        from diffusionlm.structured import generate_json

        return generate_json(self, schema, text, **settings)

    def choose(self, text: Any, options: Sequence[str] | None = None, **settings: Any) -> Choices:
        """Probabilities of the options that ``[CHOICE:a|b]`` leaves open in a text; see `diffusionlm.structured.choose`."""
        from diffusionlm.structured import choose

        return choose(self, text, options, **settings)

    def _stream(
        self, text: Any, call: CallSettings, keep_clean: list[Tensor]
    ) -> Iterator[StepState | GenerationResult]:
        """Checks a call, and gives its steps and its result."""
        began = time.perf_counter()
        steps = self.steps if call.steps is None else call.steps
        temperature = self.temperature_at(steps) if call.temperature is None else call.temperature
        model = self._model_with(call.adapter)
        longest = model.max_length
        whole = self.max_length if call.max_length is None else call.max_length
        span_length = self.max_span_length if call.max_span_length is None else call.max_span_length
        most = LONGEST_TEXT if self._model is None else longest  # other models write no text in blocks
        rows, batched = read_rows(text, call.prompt, call.num_samples, call.seed, whole, most)
        rows = bind(rows, call.context, self)
        check_fields(dict.fromkeys(row.prompt for row in rows), self.card.get("fields"), self.card.get("values"))
        canvases = dict.fromkeys(row.canvas for row in rows)
        vocabulary = self.tokenizer.vocabulary
        if call.block_length is not None and self._model is not None:
            raise ValueError(
                "block_length is for models of this library; somebody else's write a text at once: leave it out."
            )
        layouts = {canvas: lay_out(canvas, self.tokenizer, span_length, most) for canvas in canvases}
        wholes = {
            canvas: WholeLayout.of(layout, call.block_length, longest)
            if call.block_length is not None or layout.total > longest
            else None
            for canvas, layout in layouts.items()
        }
        texts = LongTexts(rows, [layouts[row.canvas] for row in rows], [wholes[row.canvas] for row in rows], vocabulary)
        # a sampler of its own: calls that run at the same time do not share history
        sampler = copy.deepcopy(self.sampler if call.sampler is None else make_sampler(call.sampler))
        check_process(sampler, model.process)
        sampler.set_schedule(self.schedule)
        steering = None
        guided = call.guidance
        if guided is not None:
            from diffusionlm.guidance.engine.composition import as_composition

            guided = as_composition(guided)
        named = () if guided is None else (plugin.name for plugin in guided.plugins)
        if "choice" in named or any(span.options for canvas in canvases for span in canvas.spans):
            from diffusionlm.guidance.structured.choice import with_choices

            guided = with_choices(guided, canvases)
        if any(canvas.states for canvas in canvases):
            from diffusionlm.guidance.stated import with_stated

            guided = with_stated(guided, canvases)
        if guided is not None:
            from diffusionlm.guidance.engine.composition import compose

            steering = compose(guided, self.tokenizer.vocabulary, model.offers, self.resources)
            firsts = list({id(layout): layout for layout in texts.waiting()[2]}.values())
            steering.check(firsts, [layout.allowed(vocabulary) for layout in firsts])
        bigrams, neighbours = self.bigrams if call.bigrams is None else call.bigrams, None
        if bigrams:
            from diffusionlm.guidance.bigrams.plugin import Bigrams, names_bigrams
            from diffusionlm.guidance.engine.composition import compose

            if not names_bigrams(guided):
                neighbours = compose(Bigrams(weight=bigrams), vocabulary, model.offers, self.resources)
        best_of = self.best_of if call.best_of is None else call.best_of
        if best_of > 1 and steering is not None:
            steering = steering.with_candidates(best_of)
        timings = dict.fromkeys(("encode", "network", "bigrams", "guidance", "sampler"), 0.0)
        size, floor = call.batch_size, call.fluency
        loop = DenoisingLoop(
            model, self.tokenizer, self.schedule, sampler, steps, temperature, size, best_of, floor, neighbours, timings
        )
        prepared = time.perf_counter() - began

        def written() -> Iterator[StepState | GenerationResult]:
            began = time.perf_counter()
            while (waiting := texts.waiting())[0]:
                attempts = Attempts(waiting[1], {} if steering is None else steering.attempts, call.fluency)
                yield from loop.attempt(attempts, *waiting, steering)
                texts.take(attempts)
            groups: list[list[Sample]] = [[] for _ in range(rows[-1].source + 1)]
            for row, sample in zip(rows, texts.samples(_verifier(steering)), strict=True):
                groups[row.source].append(sample)
            keep_clean.extend(texts.clean())
            timings["total"] = prepared + time.perf_counter() - began
            sources = list(dict.fromkeys(source for row in rows for source in row.context))
            settings: dict[str, Any] = {
                "steps": steps,
                "sampler": sampler_to_dict(sampler),
                "temperature": temperature,
                "num_samples": call.num_samples,
                "seed": rows[0].seed,
                **({"best_of": best_of} if best_of > 1 else {}),
                **({"block_length": call.block_length} if call.block_length is not None else {}),
                **({} if call.fluency is None else {"fluency": call.fluency}),
                **({"bigrams": 0.0 if neighbours is None else bigrams} if self.bigrams or bigrams else {}),
                "guidance": None if steering is None else steering.to_dict(),
                "context": [source.to_dict() for source in sources],
            }
            if isinstance(model, AdaptedModel):
                settings["adapter"] = model.adapter or BASE
            trace = None if steering is None else steering.join(texts.traces())
            plugins = [plugin for own in (neighbours, steering) if own is not None for plugin in own.plugins]
            steered_by = [source.reference for plugin in plugins for source in (plugin.how, plugin)]
            steered_by += [source.reference for source in sources]
            named = (*model.references, self.schedule.reference, sampler.reference, *steered_by)
            references = tuple(dict.fromkeys(filter(None, named)))
            yield GenerationResult(groups, timings, settings, batched, trace, references)

        return written()

    @contextmanager
    def _progress(self) -> Iterator[Callable[[StepState], None]]:
        """A progress bar over the steps of each batch; ``pipe.set_progress_bar_config(disable=True)`` hides it."""
        bars: list[Any] = []
        seen: set[int] = set()

        def advance(state: StepState) -> None:
            if state.step == 0:
                if bars:
                    bars.pop().close()
                bars.append(self.progress_bar(total=state.num_steps))
                if any(getattr(layout, "before", ()) for layout in state.layouts):
                    bars[-1].set_description(f"next block of {_samples(state)}")
                elif seen.intersection(state.samples):
                    bars[-1].set_description(f"{_samples(state)} that missed a goal")
                seen.update(state.samples)
            bars[-1].update()

        try:
            yield advance
        finally:
            for bar in bars:
                bar.close()


def _without_gradients(items: Iterator[Any]) -> Iterator[Any]:
    """The items, none of which needs gradients; the caller's code between them keeps its own."""
    while True:
        with torch.no_grad():
            item = next(items, None)
        if item is None:
            return
        yield item


def _samples(state: StepState) -> str:
    """How many samples a step is about, in words."""
    count = len(state.samples)
    return f"{count} sample{'' if count == 1 else 's'}"


def _verifier(steering: Steering | None) -> Callable[[CanvasLayout, Sequence[int]], dict[str, bool]]:
    """``(layout, tokens (L,)) -> which rules hold`` for a text that was written in blocks."""
    if steering is None or not steering.constraints:
        return lambda layout, tokens: {}
    from diffusionlm.guidance.engine.session import verified

    return lambda layout, tokens: verified(steering.constraints, layout, tokens, steering.vocabulary)
