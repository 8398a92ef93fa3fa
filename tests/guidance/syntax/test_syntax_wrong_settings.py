"""Settings of rules about syntax that cannot be: a sentence, and no other rule than was asked for."""

import pytest

from diffusionlm.guidance import PartOfSpeech


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({1.5: "DET"}, "Wishes are numbers"),
        ({True: "DET"}, "Wishes are numbers"),
        ({"a": "DET"}, "Wishes are numbers"),
        ({0: "DET", "0": "NOUN"}, "twice"),
        (["DET", None], "made of tags"),
        (["DET", 3], "made of tags"),
        (["DET", []], "made of tags"),
        (b"DET", "given as a pattern"),
    ],
)
def test_tags_that_are_none(tags, words):
    with pytest.raises(ValueError, match=words):
        PartOfSpeech(tags)


def test_words_may_be_numbered_by_text_as_files_do():
    assert PartOfSpeech({"1": "DET"}).pattern.nearest([{"NOUN"}, {"DET"}]) is not None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"least": "a"}, "least must be"),
        ({"idiom": "x"}, "idiom must be"),
        ({"idiom": -1}, "idiom must be"),
        ({"idiom": float("nan")}, "idiom must be"),
        ({"including": 3}, "including must be"),
        ({"including": [3]}, "including must be"),
        ({"including": [["a", None]]}, "including must be"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises((TypeError, ValueError), match=words):
        PartOfSpeech("DET", **settings)
