"""Corpora: one (prompt, text) at a time from every kind of source; mistakes are named before work starts."""

import json
import subprocess
import sys

import pytest

from diffusionlm.corpora.sources import TextSource, parse_sources

ROWS = [{"text": "The Mill is a pub.", "about": "name[The Mill]"}, {"text": "A bar.", "about": None}]
PAIRS = [("name[The Mill]", "The Mill is a pub."), ("", "A bar.")]


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    elif path.suffix in (".csv", ".tsv"):
        separator = {".csv": ",", ".tsv": "\t"}[path.suffix]
        lines = [separator.join(rows[0]), *(separator.join(f'"{v or ""}"' for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines))
    else:
        import pandas

        pandas.DataFrame(rows).to_parquet(path)
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_files_with_fields(tmp_path, ending):
    path = write(tmp_path / f"rows{ending}", ROWS)
    source = TextSource(str(path), prompt_field="about")
    source.check()
    assert list(source.pairs()) == PAIRS
    assert list(TextSource(str(path)).pairs()) == [("", text) for _, text in PAIRS]


def test_plain_text_has_one_text_a_line(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("  The Mill is a pub.\n\n \nÉtoile: a bar.\r\n", encoding="utf-8")
    assert list(TextSource(str(path)).pairs()) == [("", "The Mill is a pub."), ("", "Étoile: a bar.")]


def test_e2e_files_have_conditions(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("name : The Mill | Type : pub||The Mill is a pub .\n")
    source = TextSource(str(path), format="e2e")
    assert list(source.pairs()) == [("name[The Mill], type[pub]", "The Mill is a pub.")]


def test_a_pattern_is_all_its_files_in_order(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(f"text of {name}")
    source = TextSource(str(tmp_path / "*.txt"))
    assert [text for _, text in source.pairs()] == ["text of a", "text of b"]


def test_a_data_set_as_the_hub_serves_it(tmp_path):
    # `datasets` takes a folder wherever it takes a name on the hub: the one way to try it without a network
    for split in ("train", "validation"):
        write(tmp_path / f"{split}.jsonl", [{"body": f"{split} {i}", "head": f"h{i}"} for i in range(5)])
    source = TextSource(str(tmp_path), "hub", text_field="body", prompt_field="head", split="validation")
    source.check()
    assert list(source.pairs()) == [(f"h{i}", f"validation {i}") for i in range(5)]
    streamed = TextSource(str(tmp_path), "hub", text_field="body", streaming=True, max_examples=2)
    assert list(streamed.pairs()) == [("", "train 0"), ("", "train 1")]
    assert streamed.fingerprint == TextSource(str(tmp_path), "hub", "body", streaming=True, max_examples=2).fingerprint


def test_a_cap_and_a_condition(tmp_path):
    path = write(tmp_path / "rows.jsonl", ROWS)
    source = TextSource(str(path), prompt_field="about", condition="style[guide]", max_examples=1)
    assert list(source.pairs()) == [("style[guide], name[The Mill]", "The Mill is a pub.")]
    plain = TextSource(str(path), condition="style[guide]")
    assert [prompt for prompt, _ in plain.pairs()] == ["style[guide]"] * 2


def test_empty_texts_are_skipped(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"text": " "}, {"text": None}, {"text": "a"}, {"text": ""}])
    assert list(TextSource(str(path)).pairs()) == [("", "a")]


def test_the_fingerprint_follows_content_and_reading_not_the_place(tmp_path):
    path, moved = tmp_path / "a.txt", tmp_path / "b.text"
    for file in (path, moved):
        file.write_text("a pub\na bar\n")
    mark = TextSource(str(path)).fingerprint
    assert TextSource(str(moved)).fingerprint == mark
    assert TextSource(str(path), weight=2.0, format="text").fingerprint == mark
    moved.write_text("a pub\na barn\n")
    others = [
        TextSource(str(moved)).fingerprint,
        TextSource(str(path), max_examples=1).fingerprint,
        TextSource(str(path), condition="x").fingerprint,
    ]
    assert len({mark, *others}) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "jason"}, r"Unknown data format 'jason'; .* Did you mean 'jsonl'\?"),
        ({"max_examples": 0}, "max_examples must be at least 1"),
        ({"streaming": True}, "needs a cap: set data.max_examples"),
        ({"weight": 0.0}, "weight of a source must be positive"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        TextSource("a.txt", **settings)


def test_missing_files_are_named_with_the_way_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.txt' does not exist; ask the library\."):
        TextSource(str(tmp_path / "nowhere.txt"), where="ask the library").check()
    with pytest.raises(FileNotFoundError, match="is a folder, not a file; set data.train=FILE"):
        TextSource(str(tmp_path), "text").check()
    with pytest.raises(ValueError, match=r"does not tell its format; set data.format to one of text, e2e, jsonl"):
        TextSource(str(tmp_path / "a.docx")).check()


@pytest.mark.parametrize("content", ["", "\n  \n"])
def test_empty_files_hold_no_text(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=r"a.txt' holds no text \(read as text\)"):
        TextSource(str(tmp_path / "a.txt")).check()


def test_fields_that_are_not_there_are_named_with_the_nearest(tmp_path):
    path = write(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"has no field 'txt'; its fields are 'text', 'about'. Did you mean 'text'\?"):
        TextSource(str(path), text_field="txt").check()
    with pytest.raises(ValueError, match="has no field 'topic'"):
        TextSource(str(path), prompt_field="topic").check()


def test_fields_that_hold_no_text_are_named(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"text": 3}])
    with pytest.raises(ValueError, match="row 1: the field 'text' holds int, not text"):
        TextSource(str(path)).check()


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", b"{"), ("a.parquet", b"PAR1"), ("a.jsonl", b""), ("a.csv", b"")]
)
def test_files_that_cannot_be_read_are_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read as|holds no text") as error:
        TextSource(str(tmp_path / name)).check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", '{"text": "\u00e9"}\n'), ("a.txt", "\u00e9\n"), ("a.csv", "text\n\u00e9\n")]
)
def test_other_encodings_are_told_what_to_do(tmp_path, name, content, encoding):
    (tmp_path / name).write_bytes(content.encode(encoding))
    with pytest.raises(ValueError, match="save it as UTF-8"):
        list(TextSource(str(tmp_path / name)).pairs())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"text": "a"}\n\n{"text":\n', "line 3 is not JSON: Expecting value at character 9"),
        ('{"text": "a"}\n[1]\n', "line 2 must be a JSON object"),
    ],
)
def test_broken_json_lines_are_counted_from_one(tmp_path, content, words):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(ValueError, match=words):
        list(TextSource(str(tmp_path / "a.jsonl")).pairs())


def test_text_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("Café".encode("latin-1"))
    with pytest.raises(ValueError, match="a.txt' is not UTF-8 text"):
        TextSource(str(tmp_path / "a.txt")).check()


def test_a_data_set_that_the_hub_does_not_give_is_one_sentence(monkeypatch):
    import datasets

    def missing(*_, **__):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'owner/nothing' doesn't exist on the Hub.\nMore.")

    monkeypatch.setattr(datasets, "load_dataset", missing)
    with pytest.raises(ValueError, match=r"'owner/nothing' cannot be loaded from the hub: .*; check its name"):
        TextSource("owner/nothing", "hub").check()


def test_sources_as_a_configuration_writes_them():
    (one,) = parse_sources("a.txt", {"text_field": "body"})
    assert (one.path, one.text_field) == ("a.txt", "body")
    two = parse_sources([{"path": "a.txt", "weight": 2}, {"path": "b.jsonl", "weight": 1, "text_field": "x"}])
    assert [(source.path, source.weight) for source in two] == [("a.txt", 2), ("b.jsonl", 1)]
    assert two[1].text_field == "x"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "list of data sources is empty"),
        ({"pth": "a.txt"}, r"no setting 'pth'; did you mean 'path'\?"),
        ({"weight": 1}, "needs a path"),
        (3, "needs a path"),
        ([{"path": "a.txt", "weight": 1}, "b.txt"], "these have none: b.txt"),
    ],
)
def test_sources_that_cannot_be_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        parse_sources(value)


def test_plain_text_needs_no_datasets_library(tmp_path, root):
    (tmp_path / "a.txt").write_text("a pub")
    program = (
        "import sys; sys.modules['datasets'] = None; from diffusionlm.corpora.sources import TextSource; "
        f"print(list(TextSource({str(tmp_path / 'a.txt')!r}).pairs()))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)
    assert run.stdout == "[('', 'a pub')]\n", run.stderr


def test_a_source_that_needs_the_library_says_which(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    path = write(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(ModuleNotFoundError) as error:
        TextSource(str(path)).check()
    assert error.value.name == "datasets"


def test_a_folder_in_place_of_a_file_is_called_one(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"is a folder, not a file; name a file, or files as in '.*/\*\.txt'"):
        list(TextSource(str(tmp_path)).pairs())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "The pub.\nNA\n007\n"),
        ("a.csv", "text,prompt\nThe pub.,x\nNA,y\n007,z\n"),
        ("a.csv", " text , prompt\nThe pub.,x\n\n NA ,y\n007\n"),
        ("a.tsv", "text\tprompt\nThe pub.\tx\nNA\ty\n007\tz\n"),
        ("a.jsonl", '{"text": "The pub."}\n{"text": "NA"}\n{"text": "007"}\n'),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_looks_like_nothing_or_a_number_is_text_and_a_byte_order_mark_is_none(tmp_path, name, content, mark):
    (tmp_path / name).write_text(mark + content, encoding="utf-8")
    assert [text for _, text in parse_sources(str(tmp_path / name))[0].pairs()] == ["The pub.", "NA", "007"]


def test_e2e_files_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeffname : The Mill||The Mill .\n", encoding="utf-8")
    assert list(TextSource(str(tmp_path / "a.txt"), "e2e").pairs()) == [("name[The Mill]", "The Mill.")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\nOne, two.\n", "row 2 has more fields than the header; put texts with commas in double quotes"),
        ('text\n"One\n', "cannot be read as csv: row 2: unexpected end of data"),
    ],
)
def test_a_table_that_is_broken_is_named(tmp_path, content, message):
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        list(TextSource(str(tmp_path / "a.csv")).pairs())


def test_a_weight_that_is_no_number_and_a_field_twice_are_refused_in_a_sentence(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("text,text\na,b\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has the field 'text' twice"):
        list(parse_sources(str(file))[0].pairs())
    for weight in ("2", True, [1]):
        with pytest.raises(ValueError, match="weight of a source must be a number"):
            parse_sources({"path": str(file), "weight": weight})
