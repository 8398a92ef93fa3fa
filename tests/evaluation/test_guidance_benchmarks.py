"""What the benchmarks of guidance call a success, and how they compare sets of samples."""

import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_control import Target, read_values, said_shares, sentence_targets
from benchmarks.price_classifiers import LABELS, HashedRuns, labelled, said_ranges, says
from benchmarks.sample_sets import SampleSet, Shelf, compare

PAIRS = [
    ("name[The Mill], food[Italian]", "The Mill is a place by the river that serves good Italian food."),
    ("name[The Mill], family friendly[yes]", "The Mill welcomes children."),
]


class WordCount(Shelf):
    """A judge that finds every word as surprising as it is long."""

    def __init__(self) -> None:
        pass

    def score(self, texts):
        return np.array([(sum(map(len, text.split())), len(text.split())) for text in texts])


@pytest.mark.parametrize(
    ("target", "text", "holds"),
    [
        (Target(("The Mill",)), "Go to The Mill.", True),
        (Target(("The Mill",)), "Go to the mill.", False),
        (Target(("pub",)), "A public house.", False),
        (Target(("£20-25",)), "Prices are £20-25.", True),
        (Target(words=3), "One two three.", True),
        (Target(("The Mill",), words=4), "The Mill is cheap.", True),
        (Target(("The Mill", "cheap"), words=5), "The Mill is cheap.", False),
    ],
)
def test_a_text_succeeds_by_whole_words_and_their_number(target, text, holds):
    assert target.holds(text) is holds


def test_values_are_read_as_natural_text_and_weighed_by_how_often_they_are_said(tmp_path: Path):
    file = tmp_path / "targets.jsonl"
    file.write_text(
        '["name", ":", "The", "Mill"]\n["price", ":", "£", "20", "-", "25"]\n["family friendly", ":", "yes"]\n'
    )
    values = read_values(file)
    assert values == [("name", "The Mill"), ("price", "£20-25"), ("family friendly", "yes")]
    assert said_shares(values, PAIRS) == [1.0, 0.0, 0.0]


def test_a_target_file_of_another_form_is_named_with_its_line(tmp_path: Path):
    file = tmp_path / "targets.jsonl"
    file.write_text('["name", ":", "Zizzi"]\n["Zizzi"]\n')
    with pytest.raises(ValueError, match="line 2"):
        read_values(file)


def test_phrases_and_length_are_those_of_a_sentence_that_says_them():
    (target,) = sentence_targets(PAIRS, 5, seed=0)
    assert target == Target(("The Mill", "Italian"), 13)
    assert target.holds(PAIRS[0][1])


def test_a_set_compared_with_itself_has_ratios_of_one_and_empty_texts_only_count_as_failures():
    texts = ["The Mill is a cheap pub near the river.", "Zizzi serves food in the city centre.", ""]
    found = compare(WordCount(), texts, texts, [True, False, False])
    assert (found.texts, found.empty) == (3, 1)
    assert found.success.value == pytest.approx(1 / 3)
    for ratio in (found.perplexity_ratio, found.entropy_ratio, found.distinct_4_ratio):
        assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.0, 1.0, 1.0))


def test_longer_words_are_more_perplexing_to_a_judge_of_length():
    found = compare(WordCount(), ["aaaa bbbb cccc dddd eeee"] * 2, ["aa bb cc dd ee"] * 2, [True, True])
    assert found.perplexity_ratio.value == pytest.approx(np.exp(2))


def test_samples_are_made_once_and_read_afterwards(tmp_path: Path):
    calls = []

    def make() -> SampleSet:
        calls.append(1)
        return SampleSet(["a text"], [{"rule": True}], 2.0)

    shelf = Shelf(tmp_path, {"steps": 2}, "judge")
    sets = [shelf.samples("set", {"seed": 0}, make) for _ in range(2)]
    assert len(calls) == 1
    assert sets[0] == sets[1] == SampleSet(["a text"], [{"rule": True}], 2.0)
    shelf.samples("set", {"seed": 1}, make)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("It is cheap.", {"low"}),
        ("An inexpensive pub.", {"low"}),
        ("Prices are £20-25.", {"middle"}),
        ("A moderately priced pub.", {"middle"}),
        ("It is expensive, more than £30.", {"high"}),
        ("It has a high rating.", set()),
        ("From cheap to expensive.", {"low", "high"}),
    ],
)
def test_words_of_a_price_range_are_told_apart(text, ranges):
    assert said_ranges(text) == ranges
    assert says(text, "low") == (ranges == {"low"})


def test_names_are_exchanged_so_that_the_second_classifier_learns_the_words_of_a_price(tmp_path: Path):
    file = tmp_path / "train.txt"
    lines = "name : Zizzi | price : cheap||Zizzi is cheap .\nname : Cotto | price : high||Cotto is expensive .\n"
    file.write_text(lines * 40, encoding="utf-8")
    pairs = labelled(file, random.Random(0))
    assert {text.split()[0] for text, label in pairs if label == LABELS.index("low")} == {"Zizzi", "Cotto"}
    guesses = HashedRuns.train(pairs, epochs=20).probabilities(["Cotto is cheap.", "Zizzi is expensive."]).argmax(-1)
    assert [LABELS[i] for i in guesses.tolist()] == ["low", "high"]
