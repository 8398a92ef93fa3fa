"""Rows of files: chunks that can be read apart, broken lines by their numbers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusionlm.serving.jobs.source import Broken, open_source


def lines(path, content):
    path.write_bytes(content)
    return path


def test_broken_lines_are_told_by_number_and_empty_ones_are_none(tmp_path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\n\n{bad\n\xff\n[1]\n  \n{"a": 2}'
    source = open_source(lines(tmp_path / "in.jsonl", content), chunk=2)
    rows = [row for number in range(source.chunks) for row in source.read(number)]
    assert (source.rows, source.chunks) == (5, 3)
    assert [number for number, _ in rows] == list(range(5))
    assert rows[0][1] == {"a": 1}
    assert rows[4][1] == {"a": 2}
    reasons = [row.reason for _, row in rows[1:4]]
    assert all(isinstance(row, Broken) for _, row in rows[1:4])
    assert [reason.split(" ")[1] for reason in reasons] == ["3", "4", "5"]
    assert "not JSON" in reasons[0]
    assert "not UTF-8" in reasons[1]
    assert "must be a JSON object" in reasons[2]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a":\n', "Expecting value at character 6; each line is one whole object"),
        (b'{"a": 1}{"a": 2}', "Extra data at character 9"),
        ('{"a": "\u00e9"}'.encode("latin-1"), "save it as UTF-8"),
        ('{"a": "x"}'.encode("utf-16"), "save it as UTF-8"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "JSON that can be taken"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_place_in_the_line(tmp_path, raw, words) -> None:
    source = open_source(lines(tmp_path / "in.jsonl", b"{}\n" + raw))
    reason = list(source.read(0))[1][1].reason
    assert reason.startswith("line 2 ")
    assert words in reason
    assert "line 1 column" not in reason


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.one_of(st.just(""), st.dictionaries(st.text(max_size=3), st.text(max_size=5)).map(json.dumps)), max_size=80
    ),
    st.integers(1, 9),
)
def test_chunks_together_are_the_file(tmp_path_factory, written, chunk) -> None:
    rows = [json.loads(line) for line in written if line]
    path = lines(tmp_path_factory.mktemp("x") / "in.jsonl", "\n".join(written).encode())
    if not rows:
        with pytest.raises(ValueError, match="no rows"):
            open_source(path, chunk)
        return
    source = open_source(path, chunk)
    found = [list(source.read(number)) for number in reversed(range(source.chunks))][::-1]
    assert [row for part in found for row in part] == list(enumerate(rows))
    assert all(len(part) <= chunk for part in found)


def test_the_size_of_chunks_follows_from_the_number_of_rows(tmp_path) -> None:
    small = open_source(lines(tmp_path / "a.jsonl", b"{}\n" * 40))
    large = open_source(lines(tmp_path / "b.jsonl", b"{}\n" * 40_000))
    assert (small.chunk, small.chunks) == (32, 2)
    assert large.chunk % 32 == 0
    assert 200 <= large.chunks <= 512
    assert sum(len(list(large.read(number))) for number in range(large.chunks)) == 40_000


def test_parquet_is_read_like_jsonl(tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = [{"text": f"[SPAN] {n}", "seed": n} if n % 3 else {"seed": n} for n in range(50)]
    table = pyarrow.table({"text": [row.get("text") for row in rows], "seed": [row["seed"] for row in rows]})
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=7)
    source = open_source(tmp_path / "in.parquet", chunk=8)
    assert [row for number in range(source.chunks) for row in source.read(number)] == list(enumerate(rows))
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="no Parquet file"):
        open_source(tmp_path / "bad.parquet")


def test_what_is_no_file_of_rows_is_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no file"):
        open_source(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"must be \.jsonl"):
        open_source(lines(tmp_path / "a.csv", b"x"))
