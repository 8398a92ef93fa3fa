"""Tiny random models of every kind that plugins steer, each behind one call: guidance in, texts out.

They write rubbish, and obey: what a plugin may do on a kind of model, and whether a rule holds, does not depend on weights.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from diffusionlm import DenoiserConfig, DiffusionLMPipeline, SpanDenoiser
from diffusionlm.diffusion import InformationSchedule
from diffusionlm.families.building import end_ids
from diffusionlm.families.tiny import tiny_diffusion_gemma, tiny_loaded, tiny_module
from diffusionlm.families.tiny_tokenizers import SAMPLE, byte_bpe_tokenizer
from diffusionlm.guidance import Guidance
from diffusionlm.integrations import SteeringLogitsProcessor, SteeringScheduler
from diffusionlm.text import TextTokenizer, Vocabulary
from diffusionlm.text.foreign import ForeignTokenizer

LENGTH = 16  # tokens that a call writes


@dataclass(frozen=True)
class TinyModel:
    """One kind of model.

    Attributes:
        title: its name in tables.
        network: what is called at every step.
        vocabulary: surfaces of its tokens.
        write: (guidance, seeds, steps, prompt) -> a text for each seed; without guidance of the model's own.
        opening: passes of the network before plugins can be checked: 1 where a loop of another library shows the canvas with
            the first logits.
    """

    title: str
    network: nn.Module
    vocabulary: Vocabulary
    write: Callable[[Any, list[int], int, str | None], list[str]]
    opening: int = 0

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        """A list with the number of passes of the network within the block."""
        passes = [0]

        def count(*_: Any) -> None:
            passes[0] += 1

        hook = self.network.register_forward_pre_hook(count)
        try:
            yield passes
        finally:
            hook.remove()


def held(plugin: Guidance, text: str, vocabulary: Vocabulary) -> dict[str, bool]:
    """What a plugin and its companions certify of a text that was written whole; empty for those that promise nothing.

    The reader is a copy that has not seen the call.
    """
    found: dict[str, bool] = {}
    for part in (plugin, *plugin.companions()):
        if hasattr(part, "certify_written"):
            reader: Any = copy.deepcopy(part)
            reader.bind(vocabulary)
            found |= reader.certify_written(text, [], [(0, len(text))])
    return found


def _through(pipe: DiffusionLMPipeline, title: str, network: Any) -> TinyModel:
    pipe.set_progress_bar_config(disable=True)

    def write(guidance: Any, seeds: list[int], steps: int, prompt: str | None) -> list[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # random weights, prompts of no known field
            asked = {} if prompt is None else {"prompt": prompt}
            canvases = ["[SPAN]"] * len(seeds)
            texts = pipe(canvases, seed=seeds, steps=steps, guidance=guidance, max_span_length=LENGTH, **asked).texts
            return [text for group in texts for text in ([group] if isinstance(group, str) else group)]

    return TinyModel(title, network, pipe.tokenizer.vocabulary, write)


@lru_cache(maxsize=1)
def _own_tokenizer() -> TextTokenizer:
    return TextTokenizer.train_bpe([SAMPLE] * 4, vocab_size=400)


def tiny_pipeline(process: str = "gaussian") -> DiffusionLMPipeline:
    """A pipeline of ours around a tiny random network, Gaussian or masked."""
    tokenizer = _own_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = DenoiserConfig(
            vocab_size=tokenizer.vocab_size,
            process=process,
            embedding_size=16,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            condition_size=16,
            max_position_embeddings=64,
            pad_token_id=tokenizer.pad_id,
        )
        denoiser = SpanDenoiser(config).eval()
        nn.init.normal_(denoiser.head.weight, std=0.5)
    schedule = InformationSchedule() if process == "gaussian" else None
    return DiffusionLMPipeline(denoiser, tokenizer, schedule=schedule, max_length=LENGTH)


def _ours(process: str, title: str) -> TinyModel:
    pipe = tiny_pipeline(process)
    return _through(pipe, title, pipe.denoiser)


def _theirs(name: str, title: str) -> TinyModel:
    loaded = tiny_loaded(name)
    pipe = DiffusionLMPipeline(loaded.model, loaded.tokenizer, **loaded.defaults)  # type: ignore[arg-type]
    return _through(pipe, title, _called(getattr(pipe.denoiser, "module", pipe.denoiser)))


def _called(module: Any) -> nn.Module:
    """The part of a network that is called at every step: of a decoder its head, since loops call body and head apart."""
    head: nn.Module = getattr(module, "lm_head", module)
    return head


def _answer(ids: list[int], source: Any) -> str:
    """The text of an answer: what stands before its first end token."""
    ends = set(end_ids(source, None))
    over = next((i for i, token in enumerate(ids) if token in ends), len(ids))
    return str(source.decode(ids[:over])).removeprefix(" ")


def _vocabulary(source: Any) -> Vocabulary:
    ends = end_ids(source, None)
    return ForeignTokenizer(source, len(source), ends[0], source.mask_token_id, ends[1:], chat=False).vocabulary


def _gemma() -> TinyModel:
    """DiffusionGemma of transformers, written by its own `generate`."""
    from transformers import LogitsProcessorList

    model, source = tiny_diffusion_gemma(LENGTH)

    def write(guidance: Any, seeds: list[int], steps: int, prompt: str | None) -> list[str]:
        hooks = LogitsProcessorList([] if guidance is None else [SteeringLogitsProcessor(guidance, source)])
        asked = torch.tensor([source(prompt or "Hello").input_ids] * len(seeds))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds[0])
            out = model.generate(
                asked, max_new_tokens=LENGTH, max_denoising_steps=steps, logits_processor=hooks
            ).sequences
        return [_answer(row[asked.shape[1] :].tolist(), source) for row in out]

    return TinyModel("DiffusionGemma, `generate`", _called(model), _vocabulary(source), write, opening=1)


def _llada() -> TinyModel:
    """LLaDA2Pipeline of diffusers around a tiny decoder, which it makes attend to both sides by its mask."""
    from diffusers import BlockRefinementScheduler, LLaDA2Pipeline

    module, _ = tiny_module("qwen3")
    source = byte_bpe_tokenizer()

    def write(guidance: Any, seeds: list[int], steps: int, prompt: str | None) -> list[str]:
        scheduler: Any = BlockRefinementScheduler(block_length=LENGTH)
        if guidance is not None:
            scheduler = SteeringScheduler(scheduler, guidance=guidance, tokenizer=source, gen_length=LENGTH)
        pipe = LLaDA2Pipeline(module, scheduler, source)
        pipe.set_progress_bar_config(disable=True)
        asked = source(prompt or "Hello").input_ids
        out = pipe(
            input_ids=torch.tensor([asked] * len(seeds)),
            gen_length=LENGTH,
            block_length=LENGTH,
            num_inference_steps=steps,
            temperature=1.0,
            generator=torch.Generator().manual_seed(seeds[0]),
            output_type="seq",
        ).sequences
        return [_answer(row.tolist(), source) for row in out]

    return TinyModel("LLaDA2 pipeline", _called(module), _vocabulary(source), write, opening=1)


MODELS: dict[str, Callable[[], TinyModel]] = {
    "gaussian": lambda: _ours("gaussian", "ours, Gaussian"),
    "masked": lambda: _ours("masked", "ours, masked"),
    "bert": lambda: _theirs("bert", "BERT"),
    "modernbert": lambda: _theirs("modernbert", "ModernBERT"),
    "qwen3": lambda: _theirs("qwen3", "Qwen3, both sides"),
    "langflow": lambda: _theirs("langflow", "LangFlow"),
    "gemma": _gemma,
    "llada2": _llada,
}


@lru_cache(maxsize=len(MODELS))
def tiny_model(name: str) -> TinyModel:
    """A model of `MODELS`; made once."""
    return MODELS[name]()
