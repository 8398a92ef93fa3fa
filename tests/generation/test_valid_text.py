"""Bytes that are no UTF-8: found, repaired by the fewest changes, never returned; what is valid stays."""

import itertools

import pytest
import torch

from diffusionlm import DiffusionLMPipeline
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.diffusion import InformationSchedule
from diffusionlm.generation.valid_text import _DEAD, _WHOLE, _bytes, repair
from diffusionlm.spans import Canvas
from diffusionlm.text import TextTokenizer

TOKENIZER = TextTokenizer.bytes()
VOCABULARY = TOKENIZER.vocabulary
BYTE = {surface: token for token, surface in enumerate(VOCABULARY.surfaces) if surface}


def ids_of(raw):
    return torch.tensor([BYTE[bytes([byte])] for byte in raw])


def accepts(raw):
    state, table = _WHOLE, _bytes()
    for byte in raw:
        state = _DEAD if state == _DEAD else table[state][byte]
    return state == _WHOLE


def valid(raw):
    try:
        bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True


def test_the_automaton_accepts_what_python_decodes():
    edges = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF]
    edges += [0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    for length in (1, 2, 3):
        for raw in itertools.product(edges, repeat=length):
            assert accepts(raw) == valid(raw), raw
    for raw in itertools.product(edges[9:], *[[0x7F, 0x80, 0x8F, 0x90, 0xBF, 0xC0]] * 3):
        assert accepts(raw) == valid(raw), raw


def test_a_repair_changes_the_fewest_bytes_and_of_those_takes_the_likeliest():
    layout = Canvas.parse("[SPAN:4]").lay_out(TOKENIZER, 16)
    generator = torch.Generator().manual_seed(0)
    allowed = layout.allowed(VOCABULARY)
    for _ in range(20):
        raw = [0x20, *torch.randint(0x70, 0x100, (3,), generator=generator).tolist()]
        if valid(raw):
            continue
        log_probs = torch.randn(4, 257, generator=generator).log_softmax(-1)
        found = repair(ids_of(raw), log_probs, layout, VOCABULARY)
        said = b"".join(VOCABULARY.surfaces[token] for token in found.tolist())
        assert valid(said)
        best = None
        for changes in (1, 2):  # brute force: every place, every byte
            for places in itertools.combinations(range(4), changes):
                for new in itertools.product(range(256), repeat=changes) if changes == 1 else []:
                    other = list(raw)
                    for place, byte in zip(places, new, strict=True):
                        other[place] = byte
                    tokens = ids_of(other)
                    if valid(other) and bool(allowed[torch.arange(4), tokens].all()):
                        value = float(log_probs[torch.arange(4), tokens].sum())
                        best = max(best or (-1e9, None), (value, other))
            if best:
                assert list(said) == best[1]
                break
        else:
            assert sum(a != b for a, b in zip(said, raw, strict=True)) >= 2


def test_each_span_is_whole_by_itself_and_what_stands_behind_its_end_is_not_read():
    layout = Canvas.parse("é[SPAN]é[SPAN:2]").lay_out(TOKENIZER, 6)
    pad = VOCABULARY.pad_id
    ids = torch.cat(
        (ids_of("ü".encode()), ids_of(b"\xc3"), torch.tensor([pad]), ids_of(b"\xff\xff"), ids_of(b"\xa9\xc3"))
    )
    log_probs = torch.zeros(8, 257).log_softmax(-1)
    text, written = layout.assemble(repair(ids, log_probs, layout, VOCABULARY).tolist(), VOCABULARY)
    assert written[0].startswith("ü")
    assert [len(w.encode()) for w in written][1] == 2
    assert "�" not in text
    whole = torch.cat((ids_of("ü ü".encode()), torch.tensor([pad]), ids_of(b"ab")))
    assert repair(whole, log_probs, layout, VOCABULARY) is whole


@pytest.fixture(scope="module", params=["gaussian", "masked"])
def pipe(request):
    """Random bytes in patches of three."""
    torch.manual_seed(3)
    config = DenoiserConfig(
        vocab_size=257,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        condition_size=8,
        patch_size=3,
        process=request.param,
    )
    denoiser = SpanDenoiser(config).eval()
    with torch.no_grad():
        denoiser.head.weight.normal_()
    made = DiffusionLMPipeline(
        denoiser, TOKENIZER, schedule=InformationSchedule(mu=1.0, beta=1.0) if request.param == "gaussian" else None
    )
    made.set_progress_bar_config(disable=True)
    return made


def test_random_bytes_are_never_returned_broken_and_known_text_stays(pipe):
    result = pipe("é [SPAN:5]—[SPAN] 漢[SPAN:1]", num_samples=6, steps=3, seed=0)
    for text, spans in zip(result.texts, result.spans, strict=True):
        assert "�" not in text
        assert text == f"é {spans[0]}—{spans[1]} 漢{spans[2]}"
    ids = [span for sample in result.token_ids for span in sample]
    assert all(valid(b"".join(VOCABULARY.surfaces[token] for token in span)) for span in ids)
    assert any(token > 0 for span in ids for token in span)


def test_a_phrase_of_any_script_is_required_and_an_odd_pattern_holds(pipe):
    from diffusionlm.guidance import Phrases, Regex

    for text in pipe("[SPAN:30]", guidance=Phrases(include=["漢字 🙂"]), num_samples=3, steps=3, seed=1).texts:
        assert "漢字 🙂" in text
    for text in pipe("No [SPAN:5].", guidance=Regex(require=r"^No \d{4}\.$"), num_samples=3, steps=3, seed=1).texts:
        assert text[3:-1].strip().isdigit()


def test_budgets_are_of_tokens_and_a_byte_has_a_quarter(tiny_tokenizer):
    from diffusionlm.guidance import Length, compose

    steering = compose(Length(words=5), VOCABULARY, {"probs", "text"})
    tokens = compose(Length(words=5), tiny_tokenizer.vocabulary, {"probs", "text"})
    assert (steering.budget, steering.total) == (tokens.budget / 4, tokens.total / 4)
    assert steering.to_dict() == tokens.to_dict()


def test_a_patch_size_that_the_weights_contradict_is_refused(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    assert DiffusionLMPipeline.from_pretrained(tmp_path, patch_size=3).denoiser.config.patch_size == 3
    with pytest.raises(ValueError, match=r"patch_size=2 contradicts the weights .* trained with 3"):
        DiffusionLMPipeline.from_pretrained(tmp_path, patch_size=2)
