"""The plugin `PII`: nothing of its kinds and no secret is written, whatever the network wants; names are a wish."""

import json
import random
import re
from types import SimpleNamespace

import pytest
import torch

from diffusionlm.diffusion import NoisyEmbeddings
from diffusionlm.errors import GuidanceError
from diffusionlm.guidance import PII, Particles, Phrases, TextScorer, UnsatisfiableConstraint, compose
from diffusionlm.guidance.automata.absence_over_tokens import compile_absence
from diffusionlm.guidance.constraints.lazy import LazyConstraint, written_ranges
from diffusionlm.guidance.pii.digit_runs import DigitRuns
from diffusionlm.guidance.pii.folding import plain
from diffusionlm.guidance.pii.names import NAME_KINDS, PersonalNames
from diffusionlm.guidance.pii.search import find_personal_data
from diffusionlm.guidance.pii.secrets import SecretFinder, read_secrets, secret_absence, secret_character
from diffusionlm.guidance.testing.toy import ToyLayout, ToyModel, toy_vocabulary
from diffusionlm.spans import Canvas

ELICITING = [
    "Call 555-1234 or [SPAN:6] for a table.",
    "Write to jane.doe@[SPAN:6]",
    "My card is 4111 1111 1111 [SPAN:8].",
    "[SPAN:9]@example.com",
    "555-[SPAN:5]",
]


def decodes(surface):
    try:
        surface.decode()
    except UnicodeDecodeError:
        return False
    return True


def insistent(pipe, text, wanted, noise, seed):
    """Canvas and a posterior that wants `wanted` in the spans, with some noise on it."""
    layout = Canvas.parse(text).lay_out(pipe.tokenizer, 6)
    allowed = layout.allowed(pipe.tokenizer.vocabulary)
    generator = torch.Generator().manual_seed(seed)
    logits = noise * torch.randn(4, layout.length, len(pipe.tokenizer.vocabulary), generator=generator)
    ids = pipe.tokenizer.encode(wanted)
    for place in range(layout.length):
        logits[:, place, ids[place % len(ids)]] += 9.0
    whole = torch.tensor([decodes(surface) for surface in pipe.tokenizer.vocabulary.surfaces])
    log_p = logits.masked_fill(~(allowed & whole), -torch.inf).log_softmax(-1)
    return layout, allowed.expand(4, -1, -1), log_p


def finished(pipe, plugins, layout, allowed, log_p):
    steering = compose(plugins, pipe.tokenizer.vocabulary)
    steering.check([layout], [allowed[0]])
    rows = len(log_p)
    mask = torch.ones(log_p.shape[:2], dtype=torch.bool)
    session = steering.begin([layout] * rows, allowed, mask, torch.zeros(log_p.shape[2], 4), list(range(rows)), 1)
    guided = session.guide(log_p, NoisyEmbeddings(torch.zeros(*log_p.shape[:2], 4), mask), 0.0, 0.5, 0, None)
    ids = guided.best()
    _, certificates = session.report(ids)
    texts = [layout.assemble(row, pipe.tokenizer.vocabulary) for row in ids.tolist()]
    return ids, texts, certificates


@pytest.mark.parametrize("text", ELICITING)
@pytest.mark.parametrize("wanted", ["555-1234", "jane.doe@example.com", "4111 1111 1111 1111", "1 2 3 4 5 6 7 8 9"])
def test_nothing_of_the_kinds_is_written_however_much_it_is_wanted(pipe, text, wanted):
    for seed, noise in enumerate((2.0,)):
        layout, allowed, log_p = insistent(pipe, text, wanted, noise, seed)
        _, texts, certificates = finished(pipe, [PII()], layout, allowed, log_p)
        for (whole, written), held in zip(texts, certificates, strict=True):
            ranges = written_ranges(layout, written)
            leaks = [
                (kind, whole[a:b])
                for kind, a, b in find_personal_data(whole)
                if any(max(a, since) < min(b, until) for since, until in ranges)
            ]
            assert leaks == [], whole
            assert held
            assert all(held.values())
            literals = layout.canvas.literals
            assert whole.startswith(literals[0])
            assert whole.endswith(literals[-1])


def test_the_finished_text_is_the_most_probable_one_that_obeys(pipe):
    """By brute force over all texts of three tokens from the twelve likeliest at each place."""
    layout, allowed, log_p = insistent(pipe, "555-[SPAN:3]", "1234", 2.0, 0)
    ids, _, _ = finished(pipe, [PII(kinds=["phone"])], layout, allowed, log_p)
    for row in range(2):
        tops = [log_p[row, place].topk(12) for place in range(3)]
        best, chosen = -torch.inf, None
        for a in range(12):
            for b in range(12):
                for c in range(12):
                    score = sum(float(t.values[k]) for t, k in zip(tops, (a, b, c), strict=True))
                    tokens = [int(t.indices[k]) for t, k in zip(tops, (a, b, c), strict=True)]
                    text = layout.assemble(tokens, pipe.tokenizer.vocabulary)[0]
                    if score > best and not find_personal_data(text, ["phone"]):
                        best, chosen = score, tokens
        assert ids[row].tolist() == chosen


def test_known_personal_data_stays_and_is_no_obstacle(pipe):
    result = pipe("Call 020 7946 0958 or write to bob@example.org: [SPAN:4]", guidance=["pii"], steps=2, seed=0)
    assert "Call 020 7946 0958 or write to bob@example.org:" in result.texts[0]
    assert all(result.certificates[0].values())


def test_what_may_be_named_is_written_where_it_is_wanted(pipe):
    layout, allowed, log_p = insistent(pipe, "Call [SPAN:8]", "555-1234", 0.01, 0)
    length = len(pipe.tokenizer.encode("555-1234"))
    layout, allowed, log_p = insistent(pipe, f"Call [SPAN:{length}]", "555-1234", 0.01, 0)
    _, texts, held = finished(pipe, [PII(allow=["555-1234"])], layout, allowed, log_p)
    assert {whole for whole, _ in texts} == {"Call 555-1234"}
    assert all(held[0].values())
    _, texts, _ = finished(pipe, [PII()], layout, allowed, log_p)
    assert all("555-1234" not in whole for whole, _ in texts)


def test_kinds_can_be_chosen(pipe):
    length = len(pipe.tokenizer.encode("555-1234"))
    layout, allowed, log_p = insistent(pipe, f"Call [SPAN:{length}]", "555-1234", 0.01, 0)
    _, texts, held = finished(pipe, [PII(kinds=["email"])], layout, allowed, log_p)
    assert texts[0][0] == "Call 555-1234"
    assert list(held[0]) == ["no e-mail addresses"]


@pytest.mark.parametrize("secret", ["the Mill is cheap", "Jane Doe, 12-34", "12 34 56"])
def test_secrets_in_every_spelling(pipe, secret):
    plugin = PII(kinds=[], secrets=[secret])
    for spelled in (secret, secret.upper(), secret.replace(" ", "-"), secret.replace(" ", "").replace("-", "")):
        text = f"It says {spelled}. So"
        assert plugin.broken(text, None) == ["secret 0"], text
        assert not secret_absence(secret).accepts(plain(text, secret_character).text)
        wanted = pipe.tokenizer.encode(spelled)
        layout, allowed, log_p = insistent(pipe, f"It says [SPAN:{len(wanted)}]. So", spelled, 0.01, 0)
        _, texts, held = finished(pipe, [plugin], layout, allowed, log_p)
        for whole, _ in texts:
            assert plugin.broken(whole, None) == []
        assert held[0] == {"no secrets": True}


def test_search_and_automaton_of_secrets_agree():
    secrets = ["ab 12", "b1-2a", "Ann Lee"]
    finder = SecretFinder(read_secrets(secrets))
    draw = random.Random(0)
    hits = 0
    for _ in range(3000):
        text = "".join(draw.choices(["a", "b", "1", "2", " ", "-", ".", "A", "ann", " Lee", "_"], k=draw.randint(1, 9)))
        found = {number for number, *_ in finder.find(text)}
        for number, secret in enumerate(secrets):
            form = plain(text, secret_character).text
            assert secret_absence(secret).accepts(form) == (number not in found), (text, secret)
        hits += len(found)
    assert hits > 10


def test_many_secrets_are_found_as_fast_as_few():
    draw = random.Random(0)
    secrets = ["".join(draw.choices("abcdefghij0123456789", k=14)) for _ in range(30_000)]
    finder = SecretFinder(secrets)
    assert [number for number, *_ in finder.find(f"so {secrets[17]} it is {secrets[29_999].upper()}")] == [17, 29_999]
    assert list(finder.find("nothing of that sort at all")) == []


def test_secrets_from_a_file(tmp_path):
    file = tmp_path / "customers.txt"
    file.write_text("Ann Lee\n\nBob Ray\n", encoding="utf-8")
    assert PII(secrets=file).broken("It was bob  ray", None) == ["secret 1"]
    with pytest.raises(ValueError, match="fewer than three"):
        PII(secrets=["a!"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["emial"]}, "email"),
        ({"kinds": "email"}, r"kinds=\['email'\]"),
        ({"allow": "x"}, r"allow=\['x'\]"),
        ({"allow": [""]}, "not empty"),
        ({"cards": "some"}, "cards"),
        ({"names": "yes"}, "names"),
        ({"names": {"PERSON": 2.0}, "kinds": []}, "between 0 and 1"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        PII(**settings).companions()


def test_it_composes_with_other_rules_and_particles(pipe):
    rules = [PII(), Phrases(include=["pub"]), TextScorer(lambda text: -len(text), strategy=Particles(count=2))]
    result = pipe("Call 555-[SPAN:9]", guidance=rules, num_samples=2, steps=3, seed=0)
    for text, held in zip(result.texts, result.certificates, strict=True):
        assert re.search(r"\bpub\b", text)
        assert not find_personal_data(text)
        assert all(held.values())
        assert "contains 'pub'" in held


def test_what_contradicts_it_is_refused_in_the_end(pipe):
    rules = [PII(kinds=["phone"]), Phrases(include=["555-1234"])]
    with pytest.raises(UnsatisfiableConstraint):
        pipe("Call [SPAN:6]", guidance=rules, steps=2, seed=0)


def test_text_without_personal_data_is_left_alone(pipe):
    plain = pipe("The [SPAN:6]", num_samples=3, steps=3, seed=0)
    guided = pipe("The [SPAN:6]", num_samples=3, steps=3, seed=0, guidance=["pii"])
    harmless = [text for text in plain.texts if not any(character.isdigit() for character in text)]
    assert harmless
    assert set(harmless) <= set(guided.texts)


def test_a_plugin_whose_search_and_rule_disagree_is_told_so():
    class Confused(LazyConstraint):
        """Finds what its rule allows."""

        def broken(self, text, written):
            return ["everything"]

        def part(self, name, vocabulary, finished):
            return compile_absence(secret_absence("never said"), vocabulary)

    vocabulary = toy_vocabulary()
    layout = ToyLayout("The ", ".", 4)
    model = ToyModel(vocabulary, layout)
    steering = compose([Confused()], vocabulary)
    allowed = model.allowed.expand(1, -1, -1)
    mask = torch.ones(1, 4, dtype=torch.bool)
    session = steering.begin([layout], allowed, mask, model.embeddings, [0], 1)
    log_p = torch.zeros(1, 4, len(vocabulary)).masked_fill(~allowed, -torch.inf).log_softmax(-1)
    guided = session.guide(log_p, NoisyEmbeddings(torch.zeros(1, 4, model.dim), mask), 0.0, 0.5, 0, None)
    with pytest.raises(GuidanceError, match="do not agree"):
        guided.best()


def test_of_candidates_the_surest_is_kept_that_no_rule_had_to_change():
    vocabulary = toy_vocabulary()
    layout = ToyLayout("The ", ".", 4)
    model = ToyModel(vocabulary, layout)
    steering = compose([PII(kinds=[], secrets=["pub pub pub pub"])], vocabulary).with_candidates(3)
    allowed = model.allowed.expand(3, -1, -1)
    mask = torch.ones(3, 4, dtype=torch.bool)
    session = steering.begin([layout] * 3, allowed, mask, model.embeddings, [0] * 3, 1)
    (pub,) = [i for i, text in enumerate(vocabulary.strings) if text == " pub"]
    scores = torch.zeros(3, 4, len(vocabulary)).masked_fill(~allowed, -torch.inf)
    scores[0, :, pub] += 9.0  # its likeliest text says the secret
    guided = session.guide(
        scores.log_softmax(-1), NoisyEmbeddings(torch.zeros(3, 4, model.dim), mask), 0.0, 0.5, 0, None
    )
    ids = guided.best()
    assert session.joint.stepped_in() == [True, False, False]
    chosen, _ = session.report(ids, certainty=torch.tensor([0.0, -9.0, -5.0]))
    assert chosen == [2]
    scores[:] = scores[0]
    ids = session.guide(
        scores.log_softmax(-1), NoisyEmbeddings(torch.zeros(3, 4, model.dim), mask), 0.0, 0.5, 0, None
    ).best()
    assert session.report(ids, certainty=torch.tensor([0.0, -9.0, -5.0]))[0] == [
        0
    ]  # where all were changed, the surest


def test_names_are_a_plugin_beside_the_rule(pipe):
    from diffusionlm.guidance.classifiers.tiny_reader import tiny_reader

    names = PersonalNames(tiny_reader, allow=["Jane Doe"], weight=5.0)
    steering = compose([PII(names=names)], pipe.tokenizer.vocabulary)
    assert steering.names == ["pii", "digit-runs", "personal-names"]
    assert [type(p) for p in PII(names={"PERSON": 0.5}, soft=0).companions()] == [PersonalNames]
    assert PII(soft=0).companions() == []
    free = pipe("The [SPAN:6]", steps=3, seed=0, guidance=[PersonalNames(tiny_reader, weight=0.0)])
    guided = pipe("The [SPAN:6]", steps=3, seed=0, guidance=[PII(names=names)])
    assert guided.trace is not None
    assert free.texts


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            {"FOO": 0.5},
            r"names of PII has no kind 'FOO'; there are: ADDRESS, .*, PERSON\. Kinds of a reader of your own",
        ),
        ({"person": 0.5}, r"no kind 'person' \(did you mean 'PERSON'\?\); there are: ADDRESS"),
        ({"PERSON": 1.5}, "The threshold of 'PERSON' must lie between 0 and 1, got 1.5"),
    ],
)
def test_a_kind_of_name_that_does_not_exist_is_refused_at_once(names, words):
    with pytest.raises(ValueError, match=words):
        PII(names=names)


def test_the_kinds_of_names_are_those_of_the_reader_in_the_package():
    from diffusionlm.checkpoints.folders import find_folder

    config = json.loads((find_folder("guestbook") / "readers" / "names" / "config.json").read_text())
    assert sorted(config["token_labels"]) == sorted(["O", *NAME_KINDS])


def reader_of_words(vocabulary, kinds):
    """A reader that takes certain tokens for certain kinds, wherever they stand, with probability 0.99."""
    from diffusionlm.guidance.classifiers.reader import Reader, ReaderConfig

    labels = ["O", *kinds]
    config = ReaderConfig(len(vocabulary), vocabulary.fingerprint, token_labels=labels, hidden_size=8,
                          num_hidden_layers=1, num_attention_heads=2)  # fmt: skip
    reader = Reader(config).eval().requires_grad_(False)
    for parameter in reader.parameters():
        parameter.zero_()
    reader.norm.weight.fill_(1.0)
    reader.token_head.bias[0] = 4.0
    signs = torch.tensor([[1, -1] * 4, [1, 1, -1, -1] * 2, [1] * 4 + [-1] * 4]).float()  # of mean 0, orthogonal
    for label, (tokens, sign) in enumerate(zip(kinds.values(), signs, strict=False), start=1):
        reader.table[list(tokens)] = sign
        reader.token_head.weight[label] = sign * 9 / 8
    return reader


def test_names_in_a_text_are_found_with_what_the_reader_takes_them_for(pipe):
    vocabulary, encode = pipe.tokenizer.vocabulary, pipe.tokenizer.encode
    text = "The Mill is near Blue Spice, not The Eagle."
    rest = {*encode("The is near , not The ."), *encode("The is near, not")}
    kinds = {"HOME_TOWN": set(encode("Mill")) - rest, "PERSON": {*encode("Blue Spice"), *encode("Eagle")} - rest}
    reader = reader_of_words(vocabulary, kinds)
    found = PersonalNames(reader).highlight(text, pipe.tokenizer)
    assert [text[first:last] for first, last, _ in found] == ["Mill", "Blue Spice", "Eagle"]
    assert [reason for *_, reason in found] == ["home town 0.99", "person 0.99", "person 0.99"]
    assert PersonalNames(reader).highlight(encode(text), pipe.tokenizer) == found
    kept = PersonalNames(reader, kinds=["PERSON"], allow=["eagle"]).highlight(text, pipe.tokenizer)
    assert [text[first:last] for first, last, _ in kept] == ["Blue Spice"]
    assert PersonalNames(reader, kinds={"PERSON": 0.999}).highlight(text, pipe.tokenizer) == []
    assert PersonalNames(reader).highlight("", pipe.tokenizer) == []


def test_the_studio_marks_names_that_a_rule_brings_along(pipe):
    from diffusionlm.generation.results import GenerationResult, Sample
    from diffusionlm.studio.examining import Side, examine

    text = "The Mill is cheap."
    plugin = PII(
        names=PersonalNames(reader_of_words(pipe.tokenizer.vocabulary, {"PERSON": pipe.tokenizer.encode("Mill")}))
    )
    result = GenerationResult([[Sample(text, text, [], 0, {"no names": True})]], {}, {}, False, None, ())
    ((examined,),) = examine(
        SimpleNamespace(text=None), [Side("Guided", [[[(text, 90)]]], result=result)], [plugin], pipe
    )
    assert examined["findings"] == [{"plugin": "personal-names", "reason": "person 0.99", "text": "Mill"}]


def test_names_that_may_be_named_cost_nothing(pipe):
    from diffusionlm.guidance.classifiers.tiny_reader import tiny_reader
    from diffusionlm.guidance.state import GuidanceState

    vocabulary = pipe.tokenizer.vocabulary
    ids = pipe.tokenizer.encode("jane.doe writes")
    layout = Canvas.parse(f"[SPAN:{len(ids)}] pub").lay_out(pipe.tokenizer, 6)
    probs = torch.nn.functional.one_hot(torch.tensor([ids]), len(vocabulary)).float().requires_grad_()
    state = GuidanceState(
        probs, torch.zeros(1, len(ids), 4), 0.0, 0.5, 0, 4, [layout], torch.ones(1, len(ids), dtype=torch.bool), vocabulary,
        torch.zeros(len(vocabulary), 4),
    )  # fmt: skip
    strict, loose = PersonalNames(tiny_reader), PersonalNames(tiny_reader, allow=["Jane.Doe"])
    for plugin in (strict, loose):
        plugin.bind(vocabulary)
    assert 0 < float(loose.energy(state)) < float(strict.energy(state))
    (gradient,) = torch.autograd.grad(strict.energy(state).sum(), probs)
    assert gradient.abs().sum() > 0
    with pytest.raises(ValueError, match="no kind"):
        PersonalNames(tiny_reader, kinds=["PERSN"]).bind(vocabulary)


def soft_energy(plugin, texts, tokenizer):
    """The energy of finished texts."""
    plugin.bind(tokenizer.vocabulary)
    ids = [tokenizer.encode(text) for text in texts]
    probs = torch.zeros(len(ids), max(map(len, ids)), len(tokenizer.vocabulary), dtype=torch.float64)
    for row, own in enumerate(ids):
        probs[row, range(len(own)), own] = 1.0
    return plugin.energy(SimpleNamespace(probs=probs, device=probs.device))


def test_long_numbers_and_signs_have_energy_prices_and_years_next_to_none(pipe):
    texts = ["It costs £20-25.", "We came in 2019.", "Call 020 7946 0958 12 34.", "Ann@x.org", "A pub."]
    price, year, phone, mail, plain = soft_energy(DigitRuns(), texts, pipe.tokenizer).tolist()
    assert phone > 10 * max(price, year)
    assert mail > 0.9
    assert plain < 0.02
    only_signs = soft_energy(DigitRuns(few=float("inf"), signs=["@"]), texts, pipe.tokenizer)
    assert bool((only_signs[[0, 1, 2, 4]] < 0.01).all())
    assert only_signs[3] >= 1
    only_numbers = soft_energy(DigitRuns(signs=[]), texts, pipe.tokenizer)
    assert only_numbers[3] < 0.01
    assert only_numbers[2] > 1


def test_a_number_that_is_only_likely_makes_its_digits_unlikely(pipe):
    """The gradient is that of a datum being planned: on its digits, though no text has it yet; a short one has none."""
    plugin, tokenizer = DigitRuns(), pipe.tokenizer
    plugin.bind(tokenizer.vocabulary)
    number, words = (tokenizer.encode(text) for text in ("020 7946 0958 123", "the old house by the river bank"))
    places, gradients = min(len(number), len(words)), []
    for share in (0.7, 0.1):
        probs = torch.zeros(1, places, len(tokenizer.vocabulary), dtype=torch.float64)
        probs[0, range(places), number[:places]] += share
        probs[0, range(places), words[:places]] += 1 - share
        probs.requires_grad_()
        plugin.energy(SimpleNamespace(probs=probs, device=probs.device)).sum().backward()
        assert probs.grad is not None
        gradients.append(probs.grad[0, range(places), number[:places]] - probs.grad[0, range(places), words[:places]])
    assert float(gradients[0].mean()) > 0.5
    assert float(gradients[1].mean()) < 0.1


def test_the_energy_of_numbers_is_the_sum_over_windows(pipe):
    plugin = DigitRuns(few=1.5, reach=1, signs=[])
    plugin.bind(pipe.tokenizer.vocabulary)
    probs = torch.rand(2, 5, len(pipe.tokenizer.vocabulary), dtype=torch.float64).softmax(-1)
    number, _, material, _, _ = (probs @ plugin.classes.double()).unbind(-1)
    expected = torch.zeros(2, dtype=torch.float64)
    for i in range(5):
        own = number[:, max(0, i - 1) : i + 2].sum(-1) / 1.5
        expected += torch.sigmoid(10 * (own - 1)) * material[:, i]
    torch.testing.assert_close(plugin.energy(SimpleNamespace(probs=probs, device=probs.device)), expected)


def test_only_kinds_that_are_switched_on_are_made_unlikely():
    (both,) = PII(kinds=["email", "phone"], soft=3.0).companions()
    assert (both.few, both.signs, both.weight) == (DigitRuns.few, ["@"], 3.0)
    (mail,) = PII(kinds=["email"]).companions()
    assert (mail.few, mail.signs) == (float("inf"), ["@"])
    assert PII(kinds=[], secrets=["Project Bluebird"]).companions() == []
    (mail,) = PII(allow=["555-1234", "Marie Curie"]).companions()
    assert (mail.few, "@" in mail.signs) == (float("inf"), True)
    (numbers,) = PII(allow=["info@thepub.example"]).companions()
    assert (numbers.few, numbers.signs) == (DigitRuns.few, [])
    assert PII(allow=["info@thepub.example", "555-1234"]).companions() == []


@pytest.mark.parametrize(
    "settings", [{"few": -1}, {"few": 0}, {"few": float("nan")}, {"reach": 1.5}, {"reach": -1}, {"signs": "@"}]
)
def test_settings_of_digit_runs_out_of_range_are_named(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} of DigitRuns"):
        DigitRuns(**settings)
    with pytest.raises(ValueError, match="soft of PII"):
        PII(soft=-1)


@pytest.mark.parametrize("wrong", [5, "", "  ", None])
def test_secrets_that_are_no_texts_are_refused(wrong):
    with pytest.raises(ValueError, match="secrets must hold texts that are not empty"):
        PII(secrets=["a real secret", wrong])
