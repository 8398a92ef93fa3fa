"""Every attention backend computes what `eager` computes, or says why it cannot."""

import importlib.util

import pytest
import torch
from transformers import modeling_flash_attention_utils as flash_utils
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser, attention_check
from diffusionlm.denoiser.attention import BACKENDS, JointAttention, check_backend, prepare_mask

GAMMA = torch.tensor([0.5, -1.0, 2.0])
CONTEXT_MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
SPAN_MASK = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.bool)

CASES = {
    "spans alone": (False, None),
    "padded spans": (False, SPAN_MASK),
    "memory, one row without any": (True, None),
    "memory and padded spans": (True, SPAN_MASK),
}


def logits(model, backend, with_memory, span_mask):
    """Logits of the same three samples, under ``backend``; the third has no context."""
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(3, 3, 8, generator=generator)
    known = torch.randint(0, 24, (3, 5), generator=generator)
    model.set_attn_implementation(backend)
    memory = model.encode_context(known, mask=CONTEXT_MASK) if with_memory else None
    return model(z, GAMMA, memory, z, span_mask).logits


@pytest.mark.parametrize("position_kind", ["rope", "alibi"])
@pytest.mark.parametrize("case", CASES)
def test_sdpa_equals_eager_in_values_and_gradients(tiny, case, position_kind):
    with_memory, span_mask = CASES[case]
    model = tiny(position_kind=position_kind)
    used = slice(None) if span_mask is None else span_mask
    results, gradients = [], []
    for backend in ("eager", "sdpa"):
        model.zero_grad()
        out = logits(model, backend, with_memory, span_mask)[used]
        out.logsumexp(-1).sum().backward()
        results.append(out.detach())
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: n + m)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("position_kind", ["rope", "alibi"])
@pytest.mark.parametrize("case", CASES)
def test_flex_equals_eager(tiny, case, position_kind):
    with_memory, span_mask = CASES[case]
    model = tiny(position_kind=position_kind)
    used = slice(None) if span_mask is None else span_mask
    # uncompiled: the same function in plain operations; the test below runs the compiled kernel
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        eager = logits(model, "eager", with_memory, span_mask)[used]
        flex = logits(model, "flex_attention", with_memory, span_mask)[used]
    torch.testing.assert_close(flex, eager, rtol=1e-4, atol=1e-4)


@pytest.mark.timeout(600)
def test_the_compiled_flex_kernel_equals_eager_or_is_refused(tiny):
    model = tiny(num_hidden_layers=1)
    z, known = torch.randn(3, 3, 8), torch.randint(0, 24, (3, 5))
    with torch.no_grad():
        memory = model.encode_context(known, mask=CONTEXT_MASK)
        eager = model(z, GAMMA, memory, span_mask=SPAN_MASK).logits[SPAN_MASK]
        model.set_attn_implementation("flex_attention")
        try:
            flex = model(z, GAMMA, memory, span_mask=SPAN_MASK).logits[SPAN_MASK]
        except ValueError as refusal:  # the kernel of this PyTorch is wrong on processors of this kind
            assert "flex_attention computes wrong numbers on this machine" in str(refusal)  # noqa: PT017
            with pytest.raises(ValueError, match="wrong numbers on this machine"):  # and stays refused
                model(z, GAMMA, memory, span_mask=SPAN_MASK)
            return
    torch.testing.assert_close(flex, eager, rtol=1e-4, atol=1e-4)


@pytest.fixture
def wrong_sdpa(monkeypatch):
    """A backend whose kernel is wrong on this machine; what was found out about others is kept."""
    attend = ALL_ATTENTION_FUNCTIONS["sdpa"]
    calls = []

    def wrong(module, query, *rest, **settings):
        calls.append(query.shape)
        mixed, weights = attend(module, query, *rest, **settings)
        return mixed * 1.1, weights

    monkeypatch.setattr(attention_check, "_verdicts", {})
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._local_mapping, "sdpa", wrong)
    return calls


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("position_kind", ["rope", "alibi"])
def test_a_backend_that_is_wrong_here_is_refused_at_its_first_use_and_ever_after(tiny, wrong_sdpa, case, position_kind):
    model = tiny(position_kind=position_kind)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"sdpa computes wrong numbers on this machine \(cpu, torch.float32\): it is off"
        ):
            logits(model, "sdpa", *CASES[case])
    assert logits(model, "eager", *CASES[case]).isfinite().all()


def test_a_backend_that_is_right_is_compared_once(tiny, monkeypatch):
    monkeypatch.setattr(attention_check, "_verdicts", {})
    compared = []
    used = attention_check._used
    monkeypatch.setattr(attention_check, "_used", lambda *given: compared.append(1) or used(*given))
    model = tiny()
    for _ in range(3):
        logits(model, "sdpa", True, SPAN_MASK)
    assert len(compared) == 1
    logits(model.to(torch.bfloat16), "eager", False, None)
    assert len(compared) == 1  # the reference is what is compared with


def test_flex_refuses_to_train_on_a_cpu(tiny):
    model = tiny()
    model.set_attn_implementation("flex_attention")
    with pytest.raises(RuntimeError, match="flex_attention has no backward pass on a CPU: train with"):
        model(torch.randn(1, 3, 8), GAMMA[:1])


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
@pytest.mark.parametrize("position_kind", ["rope", "alibi"])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_row_with_nothing_to_write_stays_finite_also_in_its_gradients(tiny, backend, position_kind, autocast):
    model = tiny(position_kind=position_kind)
    model.set_attn_implementation(backend)
    span_mask = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = logits(model, backend, True, span_mask)
    out.logsumexp(-1).sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


# flash attention: what can be known without a GPU


def flash_here(monkeypatch, *, gpu, package):
    """Pretends that this machine has a GPU, the package, both or neither."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    find = importlib.util.find_spec
    names = ("flash_attn", "flash_attn_interface")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: package if name in names else find(name, *rest)
    )


@pytest.mark.parametrize("backend", ["flash_attention_2", "flash_attention_3"])
@pytest.mark.parametrize(
    ("gpu", "package", "error", "sentence"),
    [
        (False, True, RuntimeError, "needs a CUDA GPU and this machine has none; use attn_implementation='sdpa'"),
        (True, None, ImportError, "needs the package 'flash_attn.*pip install"),
    ],
)
def test_flash_attention_that_cannot_run_is_refused_everywhere(
    tiny, tmp_path, monkeypatch, backend, gpu, package, error, sentence
):
    model = tiny()
    model.save_pretrained(tmp_path)
    flash_here(monkeypatch, gpu=gpu, package=package)
    with pytest.raises(error, match=f"{backend} {sentence}"):
        SpanDenoiser(DenoiserConfig(attn_implementation=backend))
    with pytest.raises(error, match=f"{backend} {sentence}"):
        SpanDenoiser.from_pretrained(tmp_path, attn_implementation=backend)
    with pytest.raises(error, match=f"{backend} {sentence}"):
        model.set_attn_implementation(backend)
    assert model.config._attn_implementation == "sdpa"


def test_flash_attention_cannot_carry_alibi(monkeypatch):
    flash_here(monkeypatch, gpu=True, package=object())
    assert check_backend("flash_attention_2") == "flash_attention_2"
    with pytest.raises(ValueError, match="flash_attention_2 cannot add ALiBi's bias; use attn_implementation='sdpa'"):
        check_backend("flash_attention_2", "alibi")


def test_flash_attention_in_float32_is_refused(tiny):
    model = tiny()
    model.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(ValueError, match=r"computes in half precision only, the denoiser runs in torch\.float32"):
        model(torch.randn(1, 3, 8), GAMMA[:1])


def test_an_unknown_backend_is_refused_with_the_allowed_ones(tiny):
    model = tiny()
    with pytest.raises(ValueError, match="Unknown attention backend 'sdpaa'.*flex_attention.*Did you mean 'sdpa'?"):
        model.set_attn_implementation("sdpaa")
    with pytest.raises(ValueError, match="allowed are sdpa, eager"):
        SpanDenoiser(DenoiserConfig(attn_implementation="fast"))
    with pytest.raises(ValueError, match="Unknown attention backend 'paged'"):
        prepare_mask("paged", None, None, 3, torch.float32)
    model.set_attn_implementation({"": "eager"})
    assert model.config._attn_implementation == "eager"


def varlen_reference(q, k, v, cu_seqlens_q, cu_seqlens_k, softmax_scale=None, causal=False, **_):
    """What flash attention's kernel for unpadded sequences computes, in plain operations; (T, H, head_dim)."""
    assert not causal
    out = torch.zeros_like(q)
    bounds = zip(cu_seqlens_q[:-1], cu_seqlens_q[1:], cu_seqlens_k[:-1], cu_seqlens_k[1:], strict=True)
    for q0, q1, k0, k1 in bounds:
        scores = torch.einsum("qhd,khd->hqk", q[q0:q1], k[k0:k1]) * softmax_scale
        out[q0:q1] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v[k0:k1])
    return out


@pytest.fixture
def reference_kernel(monkeypatch):
    """Puts the reference in the place of flash attention's kernels; unpadding and padding stay transformers' own."""
    kernels = (None, varlen_reference, None, flash_utils._pad_input, flash_utils._unpad_input)
    process = flash_utils._lazy_define_process_function(varlen_reference)
    monkeypatch.setattr(flash_utils, "lazy_import_flash_attention", lambda *_, **__: (kernels, (process, None)))
    monkeypatch.setattr(JointAttention, "_check_runnable", staticmethod(lambda *_: None))  # float32, to compare exactly


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("nothing_to_write", [False, True])
def test_the_padding_mask_means_to_flash_attention_what_it_means_here(tiny, reference_kernel, length, nothing_to_write):
    model = tiny()
    z, known = torch.randn(3, length, 8), torch.randint(0, 24, (3, 5))
    span_mask = SPAN_MASK[:, :length].clone()
    if nothing_to_write:
        span_mask[1] = False
    results = []
    with torch.no_grad():
        for backend in ("eager", "flash_attention_2"):
            model.config._attn_implementation_internal = backend
            memory = model.encode_context(known, mask=CONTEXT_MASK)
            results.append(model(z, GAMMA, memory, span_mask=span_mask).logits)
    assert results[1].isfinite().all()
    torch.testing.assert_close(results[1][span_mask], results[0][span_mask], rtol=1e-4, atol=1e-4)


def test_all_backends_are_covered_here():
    assert set(BACKENDS) == {"eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3"}
