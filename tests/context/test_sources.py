"""Sources of memory: what a call brings in reaches the model, is encoded once, and changes nothing where it is absent."""

import pytest
import torch

from diffusionlm.context import SOURCES, Retrieved, Source
from diffusionlm.context.binding import split_concepts
from diffusionlm.context.source import text_piece
from diffusionlm.denoiser import CANVAS, CONCEPT, PROMPT, RETRIEVED, Piece, Places, span_model


class Fields(Source):
    """A source as a stranger would write it: one class in one file."""

    segment = RETRIEVED

    def __init__(self, text="The Mill is a pub."):
        self.text = text

    def pieces(self, rows):
        piece = text_piece(rows, self.segment, self.text, "The note", {"source": "note", "text": self.text})
        return [[piece] for _ in rows.rows]


def logits(pipe, **settings):
    states = [
        state for state in pipe.stream("The [SPAN:4] pub.", seed=0, steps=1, **settings) if hasattr(state, "step")
    ]
    return states[0].log_probs


def test_a_source_from_outside_is_one_registered_class(tiny_pipe):
    SOURCES.register("test-note")(Fields)
    try:
        assert SOURCES["test-note"] is Fields
        result = tiny_pipe("The [SPAN:4] pub.", context=[SOURCES["test-note"]()], seed=0, steps=2, num_samples=2)
        assert result.context == [[{"source": "note", "text": "The Mill is a pub."}]] * 2
        assert result.settings["context"] == [{"name": "test-note"}]
    finally:
        SOURCES.unregister("test-note")


def test_its_pieces_change_what_the_model_says_and_their_absence_changes_nothing(tiny_pipe):
    plain, again = logits(tiny_pipe), logits(tiny_pipe, context=[])
    assert torch.equal(plain, again)
    assert not torch.allclose(plain, logits(tiny_pipe, context=[Fields()]))
    assert not torch.allclose(
        logits(tiny_pipe, context=[Fields("A cheap place.")]), logits(tiny_pipe, context=Fields())
    )


def test_each_distinct_piece_of_a_segment_is_encoded_once_wherever_it_stands(tiny_pipe, monkeypatch):
    model = tiny_pipe.model
    calls = []
    encode = model.denoiser.encode_context
    monkeypatch.setattr(
        model.denoiser, "encode_context", lambda ids, *rest: calls.append(tuple(ids.shape)) or encode(ids, *rest)
    )
    ids = [torch.tensor([5, 6, 7]), torch.tensor([8, 9])]
    a, b = (Piece(RETRIEVED, n, torch.arange(-len(row), 0), row) for n, row in enumerate(ids))
    places = Places(
        torch.ones(3, 2, dtype=torch.bool), torch.arange(2).expand(3, 2), torch.zeros(3, 2).bool(), (2,) * 3
    )
    memory = model.condition([[a, b], [b, a], [b]], places)
    assert calls == [(3, 3)]  # two pieces, and nothing for the row that has one only
    assert memory.mask.sum(1).tolist() == [5, 5, 2]
    alone = model.condition([[b, a]], Places(places.span_mask[:1], places.positions[:1], places.open_mask[:1], (2,)))
    ours = memory.keys[1][1][:, memory.mask[1]]
    torch.testing.assert_close(ours, alone.keys[1][0][:, alone.mask[0]], atol=1e-5, rtol=1e-5)


def test_vectors_and_tokens_of_one_segment_stand_side_by_side(tiny_pipe):
    model = tiny_pipe.model
    vectors = model.embeddings()[torch.tensor([5, 6])]
    as_ids = Piece(CONCEPT, "ids", torch.arange(-2, 0), torch.tensor([5, 6]))
    as_vectors = Piece(CONCEPT, "vectors", torch.arange(-2, 0), raw=vectors)
    places = Places(torch.ones(2, 2, dtype=torch.bool), torch.arange(2).expand(2, 2), torch.zeros(2, 2).bool(), (2, 2))
    memory = model.condition([[as_ids], [as_vectors]], places)
    torch.testing.assert_close(memory.keys[0][0], memory.keys[0][1])


def test_a_segment_can_be_left_out(tiny_pipe):
    from diffusionlm.generation.canvas_batch import CanvasBatch
    from diffusionlm.generation.requests import Row, lay_out
    from diffusionlm.spans import Canvas

    canvas = Canvas.parse("The [SPAN:2] pub.")
    row = Row(canvas, "name[The Mill]", 0, 0, context=(Fields(),))
    batch = CanvasBatch([row], [lay_out(canvas, tiny_pipe.tokenizer, 6, 64)], 1, tiny_pipe.model, tiny_pipe.tokenizer)
    assert [piece.segment for piece in batch.context()[0]] == [PROMPT, RETRIEVED, CANVAS]
    assert [piece.segment for piece in batch.context((PROMPT, RETRIEVED))[0]] == [CANVAS]


class Foreign:
    """A model of another library: it reads known text and prompts."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        if name == "segments":
            raise AttributeError(name)
        return getattr(self._model, name)

    @property
    def network(self):
        return self._model.denoiser


def test_a_model_that_cannot_read_a_kind_of_memory_says_so_before_it_works(tiny_pipe_parts):
    from diffusionlm.pipeline import DiffusionLMPipeline

    denoiser, tokenizer, schedule = tiny_pipe_parts
    pipe = DiffusionLMPipeline(Foreign(span_model(denoiser)), tokenizer, "ancestral", schedule)
    with pytest.raises(ValueError, match="cannot read retrieved memory.*it reads: canvas, prompt"):
        pipe("The [SPAN:2] pub.", context=[Fields()])


@pytest.mark.parametrize(
    ("context", "error", "words"),
    [
        ("a text", TypeError, "takes sources"),
        ([Fields, Fields()], TypeError, "takes sources"),
        ([Fields("word " * 400)], ValueError, "The note has .* tokens, at most 128"),
    ],
)
def test_bad_context_is_refused_in_one_sentence(tiny_pipe, context, error, words):
    with pytest.raises(error, match=words):
        tiny_pipe("The [SPAN:2] pub.", context=context)


def test_a_source_off_its_contract_is_refused(tiny_pipe):
    class Short(Fields):
        def pieces(self, rows):
            return []

    with pytest.raises(TypeError, match="list of pieces for each of 1 rows"):
        tiny_pipe("The [SPAN:2] pub.", context=[Short()])
    with pytest.raises(TypeError, match="subclass of diffusionlm.context.Source"):
        SOURCES.register("test-no-source")(object)
    with pytest.raises(TypeError, match="takes a Store"):
        Retrieved("folder")


def test_concepts_are_read_from_the_beginning_of_a_text_only():
    assert split_concepts("[CONCEPT:a] [CONCEPT:b c] The [SPAN]") == (("a", "b c"), "The [SPAN]")
    assert split_concepts("The [CONCEPT:a] [SPAN]") == ((), "The [CONCEPT:a] [SPAN]")
    assert split_concepts("\\[CONCEPT:a] [SPAN]") == ((), "[CONCEPT:a] [SPAN]")
    with pytest.raises(ValueError, match="names no concept"):
        split_concepts("[CONCEPT: ] [SPAN]")


def test_classifier_free_guidance_strengthens_the_kind_of_memory_that_it_leaves_out(tiny_pipe):
    from diffusionlm.errors import GuidanceError
    from diffusionlm.guidance import ClassifierFree, Guidance

    def last(guidance, **settings):
        *_, state = (
            s
            for s in tiny_pipe.stream("The [SPAN:4].", seed=0, steps=1, guidance=guidance, **settings)
            if hasattr(s, "u")
        )
        return state.log_probs

    free = ClassifierFree(without=("retrieved",))
    with_note, without = last(None, context=[Fields()]), last(None)
    kept = torch.isfinite(with_note)
    strengthened = torch.where(kept, 2 * with_note - without, -torch.inf)
    expected = strengthened.log_softmax(-1)  # Ho and Salimans, eq. 6, with w = 1
    moved = last(free, context=[Fields()])
    gap = (moved - with_note)[kept], (expected - with_note)[kept]
    assert torch.nn.functional.cosine_similarity(*gap, dim=0) > 0.9  # the trust region may shorten it
    assert torch.equal(last(ClassifierFree(), context=[Fields()]), with_note)  # there is no prompt to leave out
    assert Guidance.from_dict(free.to_dict()).without == ("retrieved",)
    with pytest.raises(GuidanceError, match="no kind of memory 'retrived'"):
        last(ClassifierFree(without=("retrived",)), context=[Fields()])
