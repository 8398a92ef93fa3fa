"""Stores: what is added is found, what is removed is not, files survive kills and readers, faults are sentences."""

import hashlib
import json

import numpy as np
import pytest

pytest.importorskip("faiss")

from diffusionlm.context import Retrieved, Store
from diffusionlm.context.parts import Part, build_index


class Letters:
    """Encoder by letter counts: texts with the same letters are neighbours."""

    name, checksum = "letters", "1"

    def encode(self, texts):
        rows = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


PLACES = ["The Mill is a cheap pub.", "Browns serves sushi.", "Zizzi has pizza.", "The Vaults is quiet."]


@pytest.fixture
def store():
    return Store.build(PLACES, encoder=Letters())


def test_the_nearest_are_those_of_a_search_by_hand(store):
    vectors = Letters().encode(PLACES)
    query = "pizza at Zizzi"
    order = np.argsort(-(vectors @ Letters().encode([query])[0]), kind="stable")
    found = store.search([query], 3)[0]
    assert [passage.number for passage in found] == order[:3].tolist()
    assert [passage.score for passage in found] == sorted((passage.score for passage in found), reverse=True)


def test_added_passages_are_found_and_removed_ones_are_not(store):
    (number,) = store.add([{"text": "Zizzi has ramen now.", "year": 2026}])
    assert store.search(["Zizzi has ramen now."], 1)[0][0].metadata == {"year": 2026}
    store.remove(number)
    assert number not in [passage.number for passage in store.search(["Zizzi has ramen now."], 9)[0]]
    assert len(store) == len(list(store)) == 4
    with pytest.raises(ValueError, match=f"no passage {number}"):
        store.remove(number)


def test_a_saved_store_is_the_same_when_loaded_and_its_passages_are_mapped(store, tmp_path):
    store.remove(1)
    store.save(tmp_path / "places")
    loaded = Store.load(tmp_path / "places", encoder=Letters())
    assert list(loaded) == list(store)
    assert loaded.search(["cheap pub"], 2) == store.search(["cheap pub"], 2)
    assert isinstance(loaded._state[0][0].numbers, np.memmap)
    assert loaded.add(["New."]) == [4]  # numbers are never given twice


def test_a_store_can_be_read_while_another_process_adds_to_it(store, tmp_path):
    store.save(tmp_path / "places")
    reader, writer = (Store.load(tmp_path / "places", encoder=Letters()) for _ in range(2))
    before = reader.search(["cheap pub"], 4)
    for number in range(20):  # enough parts to be merged into one, which removes the files that the reader has mapped
        writer.add([f"Place {number}."])
        writer.save()
    writer.remove(0)
    writer.save()
    assert reader.search(["cheap pub"], 4) == before
    fresh = Store.load(tmp_path / "places", encoder=Letters())
    assert len(fresh) == 23
    assert list(fresh) == list(writer)
    with pytest.raises(ValueError, match="Another process has changed"):
        reader.save()


def test_a_kill_while_saving_leaves_the_store_as_it_was(store, tmp_path, monkeypatch):
    store.save(tmp_path / "places")
    files = {path: hashlib.sha256(path.read_bytes()).digest() for path in tmp_path.rglob("*") if path.is_file()}
    store.add(["Lost."])
    monkeypatch.setattr(Part, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.save()
    assert files == {path: hashlib.sha256(path.read_bytes()).digest() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(Store.load(tmp_path / "places", encoder=Letters())) == 4


def test_large_parts_have_inverted_lists_that_still_find_a_vector_itself(monkeypatch):
    monkeypatch.setattr("diffusionlm.context.parts.EXACT_UP_TO", 100)
    vectors = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    part = Part(np.arange(2000), [""] * 2000, [{}] * 2000, build_index(vectors))
    found = part.search(vectors[:50], 1, np.array([3]))
    hits = sum(own[0][1] == number for number, own in enumerate(found))
    assert hits == 49  # all but the removed one
    np.testing.assert_allclose(part.vectors(), vectors)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda store, tmp: store.add([]), "no passages to add"),
        (lambda store, tmp: store.add(["fine", "  "]), "Passage 1 has no text"),
        (lambda store, tmp: store.add([{"body": "x"}]), "no text in the field 'text'"),
        (lambda store, tmp: store.add("one text"), "Give a list"),
        (lambda store, tmp: store.search(["x"], 0), "k must be at least 1"),
        (lambda store, tmp: store.search(["x"], "2"), "k must be at least 1"),
        (lambda store, tmp: store.search("cheap pub"), "takes a list of texts"),
        (lambda store, tmp: store.add([{"text": "x", "at": {1, 2}}]), "passage 0 cannot be written as JSON"),
        (lambda store, tmp: Retrieved(store, min_score=float("nan")), "min_score is a cosine"),
        (lambda store, tmp: Retrieved(store, min_score="0.5"), "min_score is a cosine"),
        (lambda store, tmp: store.save(), "Say where"),
        (lambda store, tmp: Store(Letters()).search(["x"]), "store is empty"),
        (lambda store, tmp: Store.build(["x"], encoder="minilmm"), "encoder must be"),
    ],
)
def test_faults_are_sentences(store, tmp_path, act, words):
    with pytest.raises(ValueError, match=words):
        act(store, tmp_path)
    assert len(store) == 4


def test_a_store_of_another_encoder_is_refused(store, tmp_path):
    store.save(tmp_path / "places")

    class Other(Letters):
        checksum = "2"

    with pytest.raises(ValueError, match=r"built with the encoder 'letters' \(1\), this one is 'letters' \(2\)"):
        Store.load(tmp_path / "places", encoder=Other())
    with pytest.raises(ValueError, match="give it: Store.load"):
        Store.load(tmp_path / "places")


def test_numbers_of_numpy_are_numbers(store):
    store.remove(np.int64(1))
    store.remove(np.array([0, 2]))
    assert [passage.number for passage in store] == [3]


@pytest.mark.parametrize("wrong", [np.zeros((2, 25)), np.zeros(26), np.full((1, 26), np.nan), np.zeros((3, 26))])
def test_vectors_of_another_shape_or_without_a_value_are_refused(store, wrong, monkeypatch):
    monkeypatch.setattr(Letters, "encode", lambda self, texts: wrong)
    for act in (store.add, store.search):
        with pytest.raises(ValueError, match="encoder 'letters' made vectors"):
            act(["x"])


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": {}},
        {"encoder": "letters"},
        {"encoder": {"name": 3, "checksum": "1"}},
        {"parts": ["../elsewhere"]},
        {"parts": 3},
        {"parts": [3]},
        {"removed": ["x"]},
        {"removed": None},
        {"next": "4"},
        {"version": "new"},
    ],
)
def test_a_manifest_that_says_something_else_is_refused_in_a_sentence(store, tmp_path, change):
    store.save(tmp_path / "places")
    manifest = tmp_path / "places" / "store.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    with pytest.raises(ValueError, match="build the store again"):
        Store.load(tmp_path / "places", encoder=Letters())


def test_bytes_that_changed_within_a_file_are_told_by_their_passage(store, tmp_path):
    store.save(tmp_path / "places")
    for name in ("texts", "metadata"):
        file = next((tmp_path / "places").glob(f"part-*/{name}.bin"))
        kept = file.read_bytes()
        file.write_bytes(b"\xff" + kept[1:])
        with pytest.raises(ValueError, match="passage 0 .*damaged|Passage 0 .*damaged"):
            list(Store.load(tmp_path / "places", encoder=Letters()))
        file.write_bytes(kept)
    numbers = next((tmp_path / "places").glob("part-*/texts.npy"))
    np.save(numbers, np.load(numbers)[::-1])
    with pytest.raises(ValueError, match="rising order"):
        Store.load(tmp_path / "places", encoder=Letters())


def test_damaged_files_are_named(store, tmp_path):
    folder = tmp_path / "places"
    store.save(folder)
    index = next(folder.glob("part-*/index.faiss"))
    index.write_bytes(index.read_bytes()[:20])
    with pytest.raises(ValueError, match="cannot be read"):
        Store.load(folder, encoder=Letters())
    manifest = json.loads((folder / "store.json").read_text())
    del manifest["parts"]
    (folder / "store.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="lacks parts"):
        Store.load(folder, encoder=Letters())
    with pytest.raises(FileNotFoundError, match="no store at"):
        Store.load(tmp_path)


def test_the_passages_that_were_used_are_in_the_result(tiny_pipe, store):
    tiny_pipe.card["segments"] = ["retrieved"]
    result = tiny_pipe("The Mill is [SPAN:4].", context=[Retrieved(store, k=2)], num_samples=2, steps=2, seed=0)
    first = result.context[0][0]
    expected = store.search(["The Mill is ."], 2)[0][0]
    assert (first["text"], first["number"], first["score"]) == (expected.text, expected.number, expected.score)
    assert result.context[0] == result.context[1]
    assert json.loads(result.to_json())["samples"][0][0]["context"][0]["text"] == expected.text


def test_queries_are_prompt_and_known_text_or_what_the_caller_says(tiny_pipe, store):
    tiny_pipe.card["segments"] = ["retrieved"]

    def texts(**settings):
        call = tiny_pipe(
            ["[SPAN:2]"], prompt="Zizzi pizza", context=[Retrieved(store, k=1, **settings)], steps=1, seed=0
        )
        return [used["text"] for used in call.context[0][0]]

    assert texts() == texts(query="prompt") == ["Zizzi has pizza."]
    assert texts(query=lambda row: "sushi at Browns") == ["Browns serves sushi."]
    assert texts(query=lambda row: "") == []
    assert texts(min_score=1.0) == []


def test_weights_that_never_saw_passages_are_warned_of_and_may_have_them_as_prompts(tiny_pipe, store):
    with pytest.warns(UserWarning, match="not fitted to retrieved passages"):
        tiny_pipe("The [SPAN:2]", context=[Retrieved(store)], steps=1)
    as_prompt = tiny_pipe(
        "[SPAN:4]", context=[Retrieved(store, 1, lambda row: PLACES[0], segment="prompt")], steps=2, seed=3
    )
    assert as_prompt.texts == tiny_pipe("[SPAN:4]", prompt=PLACES[0], steps=2, seed=3).texts


def test_an_empty_store_and_a_passage_longer_than_memory_are_refused(tiny_pipe):
    with pytest.raises(ValueError, match="store of Retrieved is empty"):
        tiny_pipe("The [SPAN:2]", context=[Retrieved(Store(Letters()), segment="prompt")])
    long = Store.build(["many words " * 200], encoder=Letters())
    with pytest.raises(ValueError, match=r"Passage 0 of the store has \d+ tokens, at most 128"):
        tiny_pipe("The [SPAN:2]", context=[Retrieved(long, segment="prompt")])


def test_the_models_own_encoder_finds_a_passage_by_itself(tiny_pipe, tmp_path):
    store = Store.build(PLACES, folder=tmp_path / "own", encoder=tiny_pipe)
    for number, text in enumerate(PLACES):
        assert store.search([text], 1)[0][0].number == number
    assert len(Store.load(tmp_path / "own", encoder=tiny_pipe)) == 4
    with pytest.raises(ValueError, match="encoder reads 128: cut it"):
        store.add(["many words " * 200])


def test_words_find_names_whatever_their_case_and_are_known_again_on_disk(tmp_path):
    texts = [
        "name[The Mill], food[Italian]",
        "name[Browns Cambridge], food[French]",
        "name[Café Rouge], near[The Mill]",
    ]
    store = Store.build(texts, tmp_path / "store", encoder="words")
    found = Store.load(tmp_path / "store").search(["the MILL", "browns", "cafe\u0301 rouge", "ｂｒｏｗｎｓ"], 1)
    assert [own[0].text for own in found] == [texts[0], texts[1], texts[2], texts[1]]
    vectors = store.encoder.encode(["The Mill", "mill the", "?!"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=1e-6)


def test_passages_come_and_go_as_a_search_gives_them():
    store = Store.build(["name[The Mill]", "name[Browns]"], encoder="words")
    store.remove(store.search(["mill"], 1)[0][0])
    assert [passage.text for passage in store] == ["name[Browns]"]
    with pytest.raises(ValueError, match="Passage 0 is 3; a passage is a text, or a mapping"):
        store.add([3])
