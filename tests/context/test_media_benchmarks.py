"""The benchmarks of images and sounds, in miniature: what they count, and that a run goes from data to figure."""

import json

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("text", "right"),
    [("this is a seven .", True), ("this is a seven or one .", False), ("this is .", False), ("seventeen", False)],
)
def test_a_text_is_right_if_it_names_what_is_expected_and_nothing_else(text, right):
    from benchmarks.bench_digits import NAMES, share_right

    assert share_right([text], ["seven"], NAMES) == right


def test_a_varied_picture_keeps_its_middle_and_its_brightness():
    import random

    from benchmarks.bench_digits import varied

    pixels = np.zeros((9, 9), np.uint8)
    pixels[3:6, 3:6] = 200
    for number in range(20):
        shown = varied(pixels, random.Random(number))
        assert shown.shape == pixels.shape
        assert shown[4, 4] > 100
        assert 0.7 < shown.sum() / pixels.sum() < 1.4
        assert shown[0].sum() == 0
    assert len({varied(pixels, random.Random(number)).tobytes() for number in range(20)}) > 15


def test_digits_go_from_pictures_to_a_figure(tmp_path):
    from benchmarks import bench_digits

    sizes = ("model=tiny", "model.hidden_size=16", "model.num_hidden_layers=1")
    bench_digits.main(
        ["--steps", "2", "--write-steps", "1", "--variants", "1", "--out", str(tmp_path), "--model", *sizes]
    )
    record = json.loads(next(tmp_path.glob("digits_*.json")).read_text())
    assert 0 <= record["right"] < 0.5
    assert (tmp_path / "digits_0" / "pipeline" / "denoiser" / "model.safetensors").is_file()


def test_voices_of_espeak_say_different_things_and_unknown_ones_are_refused():
    from benchmarks.bench_spoken_words import HELD_OUT, TRAINED, Speaker

    speaker = Speaker()
    assert {*HELD_OUT, *filter(None, TRAINED)} <= speaker.variants
    assert not set(HELD_OUT) & set(TRAINED)
    one, other = (speaker.say("water", voice, 170, 50) for voice in ("en-us", "en-us+f3"))
    assert len(one) > speaker.rate // 10
    assert not np.array_equal(one, other)
    for voice in ("en-us+nobody", "xx-nowhere"):
        with pytest.raises(ValueError, match="has no voice"):
            speaker.say("water", voice, 170, 50)
