"""Lines of files that users name: marks, ends of lines, other encodings."""

import pytest

from diffusionlm.text.lines import read_lines


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"\xef\xbb\xbfone\r\ntwo\r\n", ["one", "two"]),
        (b"one\rtwo\n\nthree", ["one", "two", "", "three"]),
        ("a\u2028b\u0085c\x0cd\n".encode(), ["a\u2028b\u0085c\x0cd"]),
    ],
)
def test_only_ends_of_lines_end_lines(tmp_path, raw, lines) -> None:
    (tmp_path / "a.txt").write_bytes(raw)
    assert read_lines(tmp_path / "a.txt") == lines


def test_another_encoding_is_told_with_the_file_and_the_byte(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(
        ValueError, match=r"^The word list '.*a\.txt' is not UTF-8 text: .* at byte 3; save it as UTF-8\.$"
    ):
        read_lines(tmp_path / "a.txt", "the word list")
