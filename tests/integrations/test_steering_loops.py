"""Our plugins in the loops of transformers and diffusers: hard rules hold on every draw, whatever seed and scheduler."""

import re
from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    BlockRefinementScheduler,
    DiffusionGemmaPipeline,
    DiscreteDDIMScheduler,
    EntropyBoundScheduler,
    LLaDA2Pipeline,
)
from transformers import LogitsProcessorList

from diffusionlm.families.tiny import tiny_diffusion_gemma, tiny_module
from diffusionlm.families.tiny_tokenizers import byte_bpe_tokenizer
from diffusionlm.guidance import Guidance
from diffusionlm.integrations import SteeringLogitsProcessor, SteeringScheduler


class Likes(Guidance):
    """Wants one token."""

    def energy(self, state):
        return -state.probs[..., 300].sum(-1)


RULES = [
    ({"length": {"words": 4}}, lambda text: len(text.split()) == 4),
    (
        {"phrases": {"include": ["river"], "exclude": ["pub"]}},
        lambda text: re.search(r"\briver\b", text) and not re.search(r"\bpub\b", text),
    ),
    ({"regex": {"match": r"[a-z ]{3,20}"}}, lambda text: 3 <= len(text) <= 20 and text.replace(" ", "").islower()),
]


@pytest.fixture(scope="module")
def gemma():
    return tiny_diffusion_gemma()


def answer_of(tokens, source, end):
    """The text in front of the token that ends an answer, or a turn of it."""
    ids, ends = tokens.tolist(), {end, source.convert_tokens_to_ids("<|im_end|>")}
    stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return source.decode(ids[:stop])


@pytest.mark.parametrize(("guidance", "holds"), RULES)
@pytest.mark.parametrize("steps", [1, 5])
def test_the_committed_canvas_of_generate_obeys(gemma, guidance, holds, steps):
    model, source = gemma
    for seed in range(4):
        torch.manual_seed(seed)
        processor = SteeringLogitsProcessor(guidance, source)
        out = model.generate(
            torch.tensor([[5, 6, 7], [8, 9, 10]]),
            max_new_tokens=12,
            max_denoising_steps=steps,
            logits_processor=LogitsProcessorList([processor]),
        ).sequences
        for row in out:
            text = answer_of(row[3:], source, processor._guide.end_id).removeprefix(" ")
            assert holds(text), text


def test_what_the_processor_returns_has_the_likeliest_obeying_text_as_argmax(gemma):
    _, source = gemma
    processor = SteeringLogitsProcessor({"length": {"words": 3}}, source)
    generator = torch.Generator().manual_seed(0)
    for left in (3, 2, 1):
        scores = torch.randn(2, 12, len(source), generator=generator) * 3
        out = processor(torch.tensor([[5], [6]]), scores, cur_step=left)
        best = processor._guide.guide(scores, scores.argmax(-1), torch.zeros(2, 12, dtype=torch.bool), 0).best()
        assert torch.equal(out.argmax(-1), best)
        assert torch.isfinite(out).all()
        marginal = processor._guide.guide(scores, scores.argmax(-1), torch.zeros(2, 12, dtype=torch.bool), 0).probs
        assert (out.softmax(-1) - marginal).abs().max() < 0.55  # the exact marginals but for the nudge


def test_later_canvases_go_on_from_what_is_committed(gemma):
    model, source = gemma
    torch.manual_seed(1)
    processor = SteeringLogitsProcessor({"phrases": {"exclude": ["a", "the", "pub"], "whole_words": False}}, source)
    out = model.generate(
        torch.tensor([[5, 6, 7]]),
        max_new_tokens=36,
        max_denoising_steps=3,
        logits_processor=LogitsProcessorList([processor]),
    ).sequences
    text = answer_of(out[0, 3:], source, processor._guide.end_id)
    assert "a" not in text


def test_soft_guidance_moves_the_logits_towards_its_wish(gemma):
    _, source = gemma
    scores = torch.zeros(1, 12, len(source))
    out = SteeringLogitsProcessor(Likes(weight=3.0, budget=1.0), source)(torch.tensor([[5]]), scores, cur_step=4)
    assert out.softmax(-1)[..., 300].mean() > 2 / len(source)


def test_special_tokens_are_not_written_and_the_end_is_one_token(gemma):
    _, source = gemma
    scores = torch.zeros(1, 12, len(source))
    scores[..., source.convert_tokens_to_ids("<|im_start|>")] = 9.0
    scores[..., source.convert_tokens_to_ids("<|im_end|>")] = 8.0
    out = SteeringLogitsProcessor(Likes(weight=0.0), source)(torch.tensor([[5]]), scores, cur_step=4)
    end = source.convert_tokens_to_ids("<|im_end|>")
    assert (out[0, 1:].argmax(-1) == end).all()
    assert out[0, 0].argmax() != end  # an answer has at least one token
    assert (out[..., source.convert_tokens_to_ids("<|im_start|>")] < -1000).all()


def gemma_pipe(gemma, scheduler, guidance):
    model, source = gemma
    return DiffusionGemmaPipeline(
        model, SteeringScheduler(scheduler, guidance=guidance, tokenizer=source), source
    ), source


SCHEDULERS = {
    "block": lambda: BlockRefinementScheduler(threshold=0.9),
    "editing": lambda: BlockRefinementScheduler(threshold=0.9, editing_threshold=0.2),
    "entropy": lambda: EntropyBoundScheduler(),
    "ddim": lambda: DiscreteDDIMScheduler(),
}


@pytest.mark.parametrize(("guidance", "holds"), RULES)
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_diffusion_gemma_pipeline_obeys_under_every_scheduler(gemma, kind, guidance, holds):
    pipe, source = gemma_pipe(gemma, SCHEDULERS[kind](), guidance)
    pipe.set_progress_bar_config(disable=True)
    for seed, temperature in ((0, 0.0), (1, 1.0), (2, 0.7)):
        out = pipe(
            prompt=["Hello", "Hello"],
            gen_length=12,
            num_inference_steps=4,
            temperature=temperature,
            generator=torch.Generator().manual_seed(seed),
            output_type="seq",
        ).sequences
        for row in out:
            text = answer_of(row, source, pipe.scheduler._guide.end_id).removeprefix(" ")
            assert holds(text), (kind, seed, text)


def llada_pipe(guidance, gen_length, **settings):
    module, _ = tiny_module("qwen3")
    source = byte_bpe_tokenizer()
    scheduler = BlockRefinementScheduler(block_length=16, **settings)
    steering = SteeringScheduler(scheduler, guidance=guidance, tokenizer=source, gen_length=gen_length)
    pipe = LLaDA2Pipeline(module, steering, source)
    pipe.set_progress_bar_config(disable=True)
    return pipe, source


@pytest.mark.parametrize(("guidance", "holds"), RULES)
@pytest.mark.parametrize("gen_length", [11, 27])
def test_llada2_pipeline_obeys_block_after_block(guidance, holds, gen_length):
    pipe, source = llada_pipe(guidance, gen_length)
    for seed, temperature in ((0, 0.0), (1, 1.0), (2, 1.0)):
        out = pipe(
            input_ids=torch.tensor([[20, 21, 22, 23, 24]]),
            gen_length=gen_length,
            block_length=16,
            num_inference_steps=6,
            temperature=temperature,
            generator=torch.Generator().manual_seed(seed),
            output_type="seq",
            editing_threshold=0.5,
        ).sequences
        text = answer_of(out[0], source, source.eos_token_id).removeprefix(" ")
        assert (
            pipe.scheduler._guide.tokenizer.mask_id not in out[0][: len(out[0])].tolist()
            or source.eos_token_id in out[0]
        )
        assert holds(text), (seed, text)


def test_without_rules_the_scheduler_works_as_before(gemma):
    pipe, _ = gemma_pipe(gemma, EntropyBoundScheduler(), Likes(weight=4.0, budget=2.0))
    pipe.set_progress_bar_config(disable=True)
    out = pipe(prompt="Hello", gen_length=24, num_inference_steps=4, generator=torch.Generator().manual_seed(0))
    assert out.sequences.shape[0] == 1
    llada, _ = llada_pipe(Likes(weight=4.0), None)
    out = llada(input_ids=torch.tensor([[20, 21]]), gen_length=14, num_inference_steps=4, output_type="seq")
    assert out.sequences.shape == (1, 14)


def test_what_cannot_be_steered_there_is_refused(gemma):
    _, source = gemma
    with pytest.raises(ValueError, match="noisy embeddings"):
        SteeringLogitsProcessor({"length": {"words": 3, "strategy": "latent"}}, source)
    with pytest.raises(ValueError, match="particles"):
        SteeringLogitsProcessor(Likes(strategy="particles"), source)
    with pytest.raises(ValueError, match="without the prompt"):
        SteeringLogitsProcessor("classifier-free", source)
    with pytest.raises(ValueError, match="no scheduler of diffusers"):
        SteeringScheduler(SimpleNamespace(), guidance=Likes(), tokenizer=source)
    with pytest.raises(ValueError, match="corrector_steps"):
        SteeringScheduler(DiscreteDDIMScheduler(corrector_steps=1), guidance=Likes(), tokenizer=source)
    pipe, _ = llada_pipe({"length": {"words": 3}}, None)
    with pytest.raises(ValueError, match="give the same gen_length"):
        pipe(input_ids=torch.tensor([[20, 21]]), gen_length=14, num_inference_steps=4)
    with pytest.raises(ValueError, match="cannot be satisfied"):
        llada_pipe({"length": {"words": 30}}, 14)[0](
            input_ids=torch.tensor([[20, 21]]), gen_length=14, num_inference_steps=4
        )
    with pytest.raises(ValueError, match="writing from left to right"):
        SteeringLogitsProcessor(Likes(), source)(torch.tensor([[1]]), torch.zeros(1, 400))
