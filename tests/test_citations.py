"""Citations: what made a text is cited, each once, and what nobody here knows is quoted, never dropped."""

import re

import pytest

from diffusionlm.citations import PAPERS, TITLE, bibtex, entries_of


def keys(text):
    found = re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)
    assert len(found) == len(set(found)), "an entry stands there twice"
    return found


def test_an_unguided_result_cites_library_model_schedule_and_sampler(tiny_pipe):
    cited = keys(tiny_pipe("The [SPAN:2].", steps=2, seed=0, sampler="euler").citation())
    assert cited[0] == "diffusionlm"
    assert {"li2022diffusion", "dieleman2022continuous", "su2021roformer", "song2021denoising"} <= set(cited)
    assert not {"rabin1959finite", "lu2022dpm", "shazeer2017outrageously", "press2022train"} & set(cited)


@pytest.mark.parametrize(
    ("sampler", "key"),
    [("dpm++2m", "lu2022dpm"), ("churn", "karras2022elucidating"), ("DDIMScheduler", "platen2022diffusers")],
)
def test_the_sampler_in_use_is_cited(tiny_pipe, sampler, key):
    assert key in keys(tiny_pipe("The [SPAN:2].", steps=2, seed=0, sampler=sampler).citation())


def test_plugins_and_their_strategies_are_cited_and_an_unknown_paper_is_quoted(tiny_pipe):
    from diffusionlm.guidance import Guidance, Length, TextScorer

    class Rare(Guidance):
        reference = "Doe and Roe 2031, Rare tokens, eq. 7"

        def energy(self, state):
            return state.probs[..., 40:].sum((-1, -2))

    guidance = [Rare(), Length(tokens=2), TextScorer(len)]
    citation = tiny_pipe("The [SPAN:2].", steps=2, seed=0, guidance=guidance).citation()
    assert {"beck2003mirror", "viterbi1967error", "singhal2025a", "doe2031rare"} <= set(keys(citation))
    assert "note = {Doe and Roe 2031, Rare tokens, eq. 7}" in citation


def test_a_plugin_without_weight_is_not_cited(tiny_pipe):
    from diffusionlm.guidance import TextScorer

    result = tiny_pipe("The [SPAN:2].", steps=2, seed=0, guidance=[TextScorer(len, weight=0.0)])
    assert "singhal2025a" not in keys(result.citation())


def test_every_reference_in_the_library_is_known_here():
    from diffusionlm.context import SOURCES
    from diffusionlm.denoiser import DenoiserConfig
    from diffusionlm.diffusion.schedule import SCHEDULES
    from diffusionlm.guidance.registry.plugins import available, get
    from diffusionlm.guidance.strategies.strategy import STRATEGIES
    from diffusionlm.samplers import SAMPLERS, DiffusersSampler

    plugins = [get(name) for name, entry in available().items() if entry.kind == "built-in"]
    memory = [SOURCES[name] for name, entry in SOURCES.available().items() if entry.kind == "built-in"]
    sources = [*plugins, *memory, *STRATEGIES.values(), *SAMPLERS.values(), DiffusersSampler, *SCHEDULES.values()]
    references = [source.reference for source in sources if source.reference]
    for shape in ({}, {"position_kind": "alibi", "num_experts": 2, "num_latents": 4}):
        references += DenoiserConfig(**shape).references
    assert len(references) > 20
    for reference in references:
        for entry in entries_of(reference):
            assert "note = " not in entry, f"{reference!r} is not in diffusionlm.citations.PAPERS"
    for source in (*STRATEGIES.values(), *SAMPLERS.values(), *SCHEDULES.values()):
        assert source.reference, f"{source.__name__} names no paper"


def test_the_known_papers_are_well_formed_and_each_has_its_own_key():
    text = "\n".join(paper.bibtex() for paper in PAPERS)
    assert len(keys(text)) == len(PAPERS)
    for paper in PAPERS:
        assert re.fullmatch(r".+ \d{4}", paper.short)
        assert paper.arxiv or paper.where
        assert paper.bibtex().count("{") == paper.bibtex().count("}")


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        (
            "Li et al. 2022, Diffusion-LM improves controllable text generation, section 5.1; here exact",
            ["li2022diffusion"],
        ),
        ("Luhn 1960; Rabin and Scott 1959", ["luhn1960computer", "rabin1959finite"]),
        ("Li et al. 2022, Another paper of that year", ["li2022another"]),
        ("Li et al. 2022", ["li2022"]),
        ("an idea of mine", ["an"]),
        ("@misc{mine2030, title = {Mine}}", ["mine2030"]),
    ],
)
def test_a_reference_is_never_taken_for_another_paper(reference, found):
    assert [re.match(r"@\w+\{([^,]+),", entry)[1] for entry in entries_of(reference)] == found


def test_the_library_cites_itself_as_the_citation_file_does(root):
    assert f'title: "{TITLE}"' in (root / "CITATION.cff").read_text()
    assert keys(bibtex([])) == ["diffusionlm"]
