"""Other people's token networks behind the contract: laid out, masked and shifted as the libraries' own classes compute it."""

import pytest
import torch

from diffusionlm.denoiser import CANVAS, PROMPT, Piece, Places
from diffusionlm.diffusion import Draws, NoisyTokens, Posterior
from diffusionlm.families import Switches
from diffusionlm.families.networks import Decoder, Encoder
from diffusionlm.families.sheet import Frame
from diffusionlm.families.tiny import TINY, tiny_loaded, tiny_module
from diffusionlm.families.token_model import TokenModel
from diffusionlm.spans import Canvas

KINDS = [name for name in TINY if name not in ("langflow",)]
LEVEL = torch.tensor(0.3)


def places_of(layouts):
    longest = max(layout.length for layout in layouts)
    masks = torch.zeros(3, len(layouts), longest, dtype=torch.long)
    for i, layout in enumerate(layouts):
        masks[0, i, : layout.length] = 1
        masks[1, i, : layout.length] = layout.span_positions
        masks[2, i, : layout.length] = layout.open_mask
    return Places(masks[0].bool(), masks[1], masks[2].bool(), tuple(layout.total for layout in layouts))


def context_of(layouts, prompts=None):
    rows = []
    for layout, prompt in zip(layouts, prompts or [None] * len(layouts), strict=True):
        own = (
            []
            if prompt is None
            else [Piece(PROMPT, tuple(prompt), torch.arange(-len(prompt), 0), torch.tensor(prompt))]
        )
        rows.append([*own, Piece(CANVAS, layout.canvas, layout.known_positions, layout.known_ids)])
    return rows


def draws_of(layouts, seed=0):
    lengths = [layout.length for layout in layouts]
    return Draws([seed + i for i in range(len(layouts))], [0] * len(layouts), lengths, torch.device("cpu"))


@pytest.fixture(params=KINDS)
def loaded(request):
    return tiny_loaded(request.param)


def test_a_row_does_not_depend_on_its_neighbours(loaded):
    texts = ["The [SPAN:3] is a pub.", "The [SPAN:5] is a cheap pub near the river.", "[SPAN:4]"]
    layouts = [Canvas.parse(text).lay_out(loaded.tokenizer, 8) for text in texts]
    model = loaded.model
    places = places_of(layouts)
    together = model.log_posterior(
        model.start(places, draws_of(layouts)), LEVEL, model.condition(context_of(layouts), places), places, None
    )
    for i, layout in enumerate(layouts):
        own = places_of([layout])
        start = model.start(places, draws_of(layouts)).select(torch.tensor([i]))
        start = NoisyTokens(*(x[:, : layout.length] for x in (start.ids, start.undecided, start.used)))
        alone = model.log_posterior(start, LEVEL, model.condition(context_of([layout]), own), own, None)
        torch.testing.assert_close(alone[0], together[i, : layout.length], atol=2e-4, rtol=1e-4)


def test_what_is_written_never_has_a_special_token(loaded):
    layout = Canvas.parse("The [SPAN] is near.").lay_out(loaded.tokenizer, 6)
    places = places_of([layout])
    model = loaded.model
    logits = model.log_posterior(
        model.start(places, draws_of([layout])), LEVEL, model.condition(context_of([layout]), places), places, None
    )
    special = loaded.tokenizer.vocabulary.special_ids
    barred = sorted(special - {loaded.tokenizer.pad_id}) if loaded.tokenizer.ends_spans else sorted(special)
    assert torch.isneginf(logits[..., barred]).all()
    assert torch.isfinite(logits.logsumexp(-1)).all()
    assert logits.shape == (1, 6, model.vocab_size)


def test_an_encoder_sees_what_its_own_class_sees():
    module, source = tiny_module("bert")
    model = tiny_loaded("bert").model
    module.load_state_dict(model.network.module.state_dict())
    tokenizer = tiny_loaded("bert").tokenizer
    layout = Canvas.parse("the [SPAN:2] near the mill").lay_out(tokenizer, 4)
    places = places_of([layout])
    got = model.log_posterior(
        model.start(places, draws_of([layout])), LEVEL, model.condition(context_of([layout]), places), places, None
    )
    masks = " ".join(["[MASK]"] * 2)
    theirs = module(**source(f"the {masks} near the mill", return_tensors="pt")).logits
    at = (source(f"the {masks} near the mill", return_tensors="pt").input_ids[0] == source.mask_token_id).nonzero()[
        :, 0
    ]
    allowed = torch.isfinite(got[0])
    torch.testing.assert_close(got[0][allowed], theirs[0, at][allowed], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_a_decoder_sees_both_ways_and_its_logits_are_those_of_its_class_with_a_full_mask(shift, backend):
    module, _ = tiny_module("qwen3")
    module.set_attn_implementation(backend)
    model = TokenModel(
        Decoder(module), Switches(shift=shift), vocab_size=module.config.vocab_size, max_length=64, mask_id=1
    )
    ids = torch.tensor([[5, 300, 7, 8, 301, 9]])
    layout_mask = torch.tensor([[True, True]])
    places = Places(layout_mask, torch.tensor([[1, 4]]), torch.zeros(1, 2, dtype=torch.bool), (6,))
    known = [0, 2, 3, 5]
    context = [[Piece(CANVAS, "x", torch.tensor(known), ids[0, known])]]
    noisy = NoisyTokens(torch.tensor([[300, 301]]), torch.tensor([[True, False]]), layout_mask)
    got = model.log_posterior(noisy, LEVEL, model.condition(context, places), places, None)
    seen = ids.clone()
    seen[0, 1] = 1
    full = torch.zeros(1, 1, 6, 6)
    theirs = module(input_ids=seen, attention_mask=full, position_ids=torch.arange(6)[None]).logits
    at = [1 - shift, 4 - shift]
    finite = torch.isfinite(got[0])
    torch.testing.assert_close(got[0][finite], theirs[0, at][finite], atol=1e-5, rtol=1e-5)
    causal = module(input_ids=seen).logits
    assert not torch.allclose(causal[0, at], theirs[0, at], atol=1e-3)


@pytest.mark.parametrize("name", ["qwen3", "qwen2", "llama", "bert", "mdlm"])
def test_token_i_reacts_to_token_after_it(name):
    loaded = tiny_loaded(name)
    one = Canvas.parse("The [SPAN:2] is near").lay_out(loaded.tokenizer, 4)
    places = places_of([one])
    model = loaded.model
    outs = []
    for token in (loaded.tokenizer.encode(" a", True)[0], loaded.tokenizer.encode(" near", True)[0]):
        noisy = NoisyTokens(torch.tensor([[token, token]]), torch.tensor([[True, False]]), places.span_mask)
        outs.append(model.log_posterior(noisy, LEVEL, model.condition(context_of([one]), places), places, None)[0, 0])
    finite = torch.isfinite(outs[0])
    assert (outs[0] - outs[1])[finite].abs().max() > 1e-4


def test_blocks_see_themselves_and_what_is_before_them():
    module, _ = tiny_module("qwen3")
    ids = torch.arange(10, 22)[None]

    def hidden_at(attention, changed, at):
        model = TokenModel(
            Decoder(module),
            Switches(attention=attention),
            vocab_size=module.config.vocab_size,
            max_length=64,
            mask_id=1,
        )
        places = Places(torch.tensor([[True]]), torch.tensor([[at]]), torch.zeros(1, 1, dtype=torch.bool), (12,))
        known = [i for i in range(12) if i != at]
        row = ids[0].clone()
        row[changed] = 50
        context = [[Piece(CANVAS, "x", torch.tensor(known), row[known])]]
        noisy = NoisyTokens(torch.tensor([[0]]), torch.tensor([[True]]), places.span_mask)
        return model.log_posterior(noisy, LEVEL, model.condition(context, places), places, None)

    for changed, sees in [(2, True), (4, True), (7, True), (8, False), (11, False)]:
        same = torch.allclose(hidden_at("blocks:4", changed, 5), hidden_at("blocks:4", 5, 5), atol=1e-6)
        assert same != sees
        assert not torch.allclose(hidden_at("full", changed, 5), hidden_at("full", 5, 5), atol=1e-6)


def test_a_causal_prompt_before_a_canvas_does_not_see_it():
    module, _ = tiny_module("qwen3")
    model = TokenModel(
        Decoder(module), Switches(attention="canvas"), vocab_size=module.config.vocab_size, max_length=64, mask_id=1
    )
    places = Places(torch.tensor([[True]]), torch.tensor([[1]]), torch.zeros(1, 1, dtype=torch.bool), (3,))
    context = [
        [
            Piece(PROMPT, "p", torch.arange(-3, 0), torch.tensor([20, 21, 22])),
            Piece(CANVAS, "c", torch.tensor([0, 2]), torch.tensor([30, 31])),
        ]
    ]
    sheet = model.condition(context, places)
    from diffusionlm.families.sheet import visible

    seen = visible(sheet, "canvas", None)[0]
    assert seen[:3, :3].equal(torch.ones(3, 3, dtype=torch.bool).tril())
    assert not seen[:3, 3:].any()
    assert seen[3:].all()


def test_nothing_follows_a_decided_end():
    loaded = tiny_loaded("qwen3")
    layout = Canvas.parse("The [SPAN] is near [SPAN].").lay_out(loaded.tokenizer, 5)
    places, model, end = places_of([layout]), loaded.model, loaded.tokenizer.pad_id
    ids = torch.full((1, 10), 20)
    ids[0, 2] = end
    undecided = torch.ones(1, 10, dtype=torch.bool)
    undecided[0, 2] = False
    logits = model.log_posterior(
        NoisyTokens(ids, undecided, places.span_mask),
        LEVEL,
        model.condition(context_of([layout]), places),
        places,
        None,
    )
    probs = logits.softmax(-1)
    assert torch.allclose(probs[0, 3:5, end], torch.ones(2))
    assert (probs[0, [0, 1, 5, 6, 7, 8, 9], end] < 0.9).all()


def test_the_prompt_is_a_turn_or_plain_text_before_the_frame():
    loaded = tiny_loaded("bert")
    layout = Canvas.parse("the [SPAN:1]").lay_out(loaded.tokenizer, 4)
    places = places_of([layout])
    prompt = loaded.tokenizer.encode_prompt("food")
    sheet = loaded.model.condition(context_of([layout], [prompt]), places)
    assert sheet.ids[0].tolist() == [2, *prompt, *layout.known_ids.tolist(), sheet.ids[0, -2].item(), 3]
    chat = TokenModel(
        loaded.model.network,
        Switches(),
        vocab_size=loaded.model.vocab_size,
        max_length=64,
        mask_id=4,
        frame=Frame((2,), (3,), True),
    )
    sheet = chat.condition(context_of([layout], [prompt]), places)
    assert sheet.ids[0].tolist()[: len(prompt)] == prompt
    with pytest.raises(ValueError, match="the model takes 64"):
        chat.condition(context_of([layout], [prompt * 80]), places)


def test_temperature_leaves_the_end_alone_and_sharpens_words():
    loaded = tiny_loaded("qwen3")
    layout = Canvas.parse("The [SPAN]").lay_out(loaded.tokenizer, 4)
    places, model, end = places_of([layout]), loaded.model, loaded.tokenizer.pad_id
    condition, start = model.condition(context_of([layout]), places), model.start(places, draws_of([layout]))
    warm, cool = (
        Posterior(model.log_posterior(start, LEVEL, condition, places, None, t).log_softmax(-1)) for t in (1.0, 0.3)
    )
    torch.testing.assert_close(warm.probs[..., end], cool.probs[..., end], atol=1e-5, rtol=1e-4)
    assert (cool.probs.max(-1).values > warm.probs.max(-1).values).any()


def test_embeddings_have_one_length_and_serve_the_clean_estimate():
    loaded = tiny_loaded("bert")
    table = loaded.model.embeddings()
    assert table.shape == (loaded.model.vocab_size, loaded.model.network.module.config.hidden_size)
    torch.testing.assert_close(table.norm(dim=-1), torch.full((len(table),), table.shape[1] ** 0.5))


def test_corruption_hides_the_share_of_its_level():
    loaded = tiny_loaded("qwen3")
    ids = torch.full((400, 20), 30)
    mask = torch.ones_like(ids, dtype=torch.bool)
    draws = Draws(range(400), [0] * 400, [20] * 400, torch.device("cpu"))
    noisy = loaded.model.corrupt(ids, mask, torch.full((400,), -1.0), draws)
    assert abs(float(noisy.undecided.float().mean()) - float(torch.sigmoid(torch.tensor(-1.0)))) < 0.02


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"shift": 2}, "shift must be 0"),
        ({"attention": "blocks:0"}, "attention must be"),
        ({"attention": "causal"}, "attention must be"),
        ({"corruption": "noise"}, "corruption must be"),
        ({"time": "t"}, "time must be"),
    ],
)
def test_switches_outside_their_range_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        Switches(**settings)


def test_what_a_network_cannot_do_is_refused():
    module, _ = tiny_module("bert")
    with pytest.raises(ValueError, match="mask token"):
        TokenModel(Encoder(module), Switches(), vocab_size=300, max_length=32)
    with pytest.raises(ValueError, match="no Gaussian"):
        TokenModel(Encoder(module), Switches(corruption="gaussian"), vocab_size=300, max_length=32, mask_id=4)
    model = TokenModel(Encoder(module), Switches(attention="blocks:4"), vocab_size=300, max_length=32, mask_id=4)
    places = Places(torch.tensor([[True]]), torch.tensor([[0]]), torch.tensor([[False]]), (1,))
    noisy = NoisyTokens(torch.tensor([[0]]), places.span_mask, places.span_mask)
    with pytest.raises(ValueError, match="attention must be 'full'"):
        model.log_posterior(noisy, LEVEL, model.condition([[]], places), places, None)
    with pytest.raises(ValueError, match="reads text only"):
        model.condition([[Piece(4, "i", torch.tensor([0]), raw=torch.zeros(1, 3))]], places)
    decoder, _ = tiny_module("qwen3")
    with pytest.raises(ValueError, match="no `model` and `lm_head`"):
        Decoder(module)
    decoder.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="would stay causal"):
        Decoder(decoder)
