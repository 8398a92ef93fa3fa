"""Images and sounds: read from files and arrays, reach the model, steered like any text, faults in a sentence."""

import io
import math
import wave

import numpy as np
import PIL.Image
import pytest
import torch

from diffusionlm.context import Each, Image, Sound
from diffusionlm.context.image import image_patches, read_image
from diffusionlm.context.sound import read_sound, resample, sound_patches
from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
from diffusionlm.denoiser.media import MediaEncoder, read_settings
from diffusionlm.guidance import Phrases
from diffusionlm.pipeline import DiffusionLMPipeline

GREY = {"height": 4, "width": 6, "channels": 1, "patch": 2, "size": 16, "heads": 2, "layers": 1}
SHORT = {"rate": 800, "seconds": 0.5, "patch": 32, "size": 16, "heads": 2, "layers": 1}
RNG = np.random.default_rng(0)


def png(pixels, form="PNG"):
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def wav(samples, rate=800, size=2, channels=1):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((channels, size, rate, 0, "NONE", ""))
        kind = {1: np.uint8, 2: "<i2", 4: "<i4"}[size]
        file.writeframes(((samples * (2 ** (8 * size - 1) - 1)) + (128 if size == 1 else 0)).astype(kind).tobytes())
    return out.getvalue()


@pytest.fixture
def media_pipe(tiny_pipe_parts):
    """A pipeline whose random model reads images and sounds."""
    old, tokenizer, schedule = tiny_pipe_parts
    sizes = {
        name: getattr(old.config, name) for name in ("vocab_size", "embedding_size", "hidden_size", "condition_size")
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = DenoiserConfig(
            **sizes,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            max_position_embeddings=64,
            image_encoder=GREY,
            sound_encoder=SHORT,
        )
        denoiser = SpanDenoiser(config).eval()
        torch.nn.init.normal_(denoiser.head.weight, std=0.5)
    pipe = DiffusionLMPipeline(denoiser, tokenizer, "ancestral", schedule, max_length=16, max_span_length=6)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def log_probs(pipe, *context):
    return next(iter(pipe.stream("The [SPAN:4] pub.", seed=0, steps=1, context=list(context)))).log_probs


PIXELS = RNG.integers(0, 256, (4, 6), dtype=np.uint8)
SAMPLES = (0.5 * np.sin(np.arange(300) / 3)).astype(np.float32)


def test_one_picture_is_the_same_from_a_file_its_bytes_an_array_and_pillow(tmp_path):
    (tmp_path / "p.png").write_bytes(png(PIXELS))
    expected = PIXELS[..., None] / np.float32(255)
    forms = tmp_path / "p.png", str(tmp_path / "p.png"), png(PIXELS), PIXELS, PIXELS.tolist(), PIXELS / 255.0
    for given in (*forms, PIL.Image.fromarray(PIXELS), {"bytes": png(PIXELS), "path": None}):
        np.testing.assert_allclose(read_image(given), expected, atol=1e-6)
    colour = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    assert read_image(png(colour)).shape == (4, 6, 3)
    grey = np.asarray(PIL.Image.fromarray(colour).convert("L"), dtype=np.float32)[..., None] / 255
    settings = read_settings("image", GREY)
    np.testing.assert_allclose(image_patches(read_image(colour), settings), image_patches(grey, settings), atol=0.05)


def test_pictures_of_sixteen_bits_keep_their_shades(tmp_path):
    shades = np.linspace(0, 2**16 - 1, 24).reshape(4, 6).astype(np.uint16)
    PIL.Image.fromarray(shades).save(tmp_path / "deep.png")
    assert np.allclose(read_image(tmp_path / "deep.png")[..., 0], shades / (2**16 - 1), atol=1e-4)
    with pytest.raises(ValueError, match="fractions from 0 to 1"):
        read_image(PIL.Image.fromarray(np.full((4, 6), 3.0, np.float32)))


def test_patches_hold_the_pixels_of_their_square_row_by_row():
    patches = image_patches(read_image(PIXELS), read_settings("image", GREY))
    assert patches.shape == (6, 4)
    values = PIXELS / 255
    expected = (values[2:4, 2:4] - values.mean()) / values.std()
    np.testing.assert_allclose(patches[4], expected.reshape(-1), rtol=0.05)
    plain = image_patches(read_image(np.full((4, 6), 90, np.uint8)), read_settings("image", GREY))
    np.testing.assert_allclose(plain, 0, atol=1e-4)


def test_one_sound_is_the_same_from_a_file_its_bytes_and_samples(tmp_path):
    (tmp_path / "s.wav").write_bytes(wav(SAMPLES))
    sixteen = (SAMPLES * 32767).astype(np.int16)
    for given in (tmp_path / "s.wav", wav(SAMPLES), SAMPLES, sixteen, (SAMPLES, 800), {"array": SAMPLES}):
        samples, rate = read_sound(given, 800)
        np.testing.assert_allclose(samples, SAMPLES, atol=1e-4)
        assert rate == 800
    np.testing.assert_allclose(read_sound(wav(SAMPLES, size=1), 1)[0], SAMPLES, atol=0.02)
    np.testing.assert_allclose(read_sound(wav(SAMPLES, size=4), 1)[0], SAMPLES, atol=1e-4)
    stereo = np.stack((SAMPLES, np.zeros_like(SAMPLES)), axis=1)
    np.testing.assert_allclose(read_sound(wav(stereo, channels=2), 1)[0], SAMPLES / 2, atol=1e-4)


def test_resampling_keeps_a_tone_and_drops_what_the_new_rate_cannot_hold():
    def tone(hertz, rate):
        return np.sin(2 * math.pi * hertz * np.arange(rate) / rate).astype(np.float32)

    np.testing.assert_allclose(resample(tone(50, 800), 800, 400), tone(50, 400), atol=1e-4)
    np.testing.assert_allclose(resample(tone(50, 400), 400, 800), tone(50, 800), atol=1e-4)
    np.testing.assert_allclose(resample(tone(300, 800), 800, 400), 0, atol=1e-4)


def test_spectra_say_what_sounds_and_not_how_loud_it_is():
    settings = read_settings("sound", SHORT)
    patches = sound_patches(SAMPLES, 800, settings)
    assert patches.shape == (10, 34)  # 300 samples in patches of 32, two spectra of 17 values each
    np.testing.assert_allclose(sound_patches(SAMPLES * 1.5, 800, settings), patches, atol=1e-3)
    assert patches[2, :17].argmax() == round(32 / (3 * 2 * math.pi))
    raw = sound_patches(SAMPLES, 800, read_settings("sound", {**SHORT, "spectrum": False}))
    np.testing.assert_array_equal(raw.reshape(-1)[:300], SAMPLES)


def test_padding_changes_nothing_that_an_encoder_says_of_a_piece():
    torch.manual_seed(0)
    encoder = MediaEncoder(read_settings("sound", SHORT), 8)
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    values, mask = torch.randn(2, 5, 34), torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    torch.testing.assert_close(encoder(values, mask)[1, :3], encoder(values[1:, :3], mask[1:, :3])[0])
    norms = encoder(values, mask).pow(2).mean(-1)
    torch.testing.assert_close(norms, torch.ones(2, 5), atol=1e-3, rtol=0)


def test_what_is_seen_and_heard_reaches_the_model_and_the_result(media_pipe):
    plain, other = log_probs(media_pipe), np.flipud(PIXELS)
    assert not torch.allclose(plain, log_probs(media_pipe, Image(PIXELS)))
    assert not torch.allclose(log_probs(media_pipe, Image(other)), log_probs(media_pipe, Image(PIXELS)))
    assert not torch.allclose(plain, log_probs(media_pipe, Sound(SAMPLES)))
    assert torch.equal(log_probs(media_pipe, Image(PIXELS)), log_probs(media_pipe, Image(png(PIXELS))))
    result = media_pipe("The [SPAN:2] pub.", context=[Image(PIXELS), Sound((SAMPLES, 800))], steps=1, num_samples=2)
    said = [{"source": "image", "image": "array (4, 6)"}, {"source": "sound", "sound": "array (300,)"}]
    assert result.context == [said, said]
    assert [source["name"] for source in result.settings["context"]] == ["image", "sound"]


def test_each_input_has_its_own_picture(media_pipe):
    other = np.flipud(PIXELS)
    pictures = Each([Image(PIXELS), None, Image(other)])
    call = {"steps": 2, "seed": 4}
    texts = media_pipe([None] * 3, context=[pictures], num_samples=2, **call)
    assert [len(used) for group in texts.context for used in group] == [1, 1, 0, 0, 1, 1]
    alone = [media_pipe(context=own, num_samples=2, **call).texts for own in (Image(PIXELS), None, Image(other))]
    assert texts.texts == alone
    with pytest.raises(ValueError, match="2 inputs and 3 sources"):
        media_pipe([None] * 2, context=[pictures])
    with pytest.raises(TypeError, match="one kind of memory"):
        Each([Image(PIXELS), Sound(SAMPLES)])


def test_a_text_about_a_picture_is_steered_as_any_text_is(media_pipe):
    rule = Phrases(include=["river"], exclude=["cheap"])
    result = media_pipe("[SPAN:8] pub.", context=[Image(PIXELS)], guidance=rule, steps=4, seed=1, num_samples=4)
    assert all("river" in text and "cheap" not in text for text in result.texts)
    assert all(sample.certificates and all(sample.certificates.values()) for sample in result.samples[0])


def test_encoders_are_part_of_the_checkpoint(media_pipe, tmp_path):
    media_pipe.save_pretrained(tmp_path / "seeing")
    back = DiffusionLMPipeline.from_pretrained(tmp_path / "seeing")
    assert back.denoiser.config.image_encoder == media_pipe.denoiser.config.image_encoder
    assert torch.equal(log_probs(back, Image(PIXELS)), log_probs(media_pipe, Image(PIXELS)))


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (lambda tmp: Image(PIXELS[:3]), ValueError, "3 x 6 pixels and 1 channels .* reads 4 x 6 and 1: resize"),
        (lambda tmp: Image(png(PIXELS)[:40]), ValueError, "image of 40 bytes cannot be read, it is cut off"),
        (lambda tmp: Image(tmp / "no.png"), FileNotFoundError, "no image file"),
        (lambda tmp: Image(PIXELS.astype(float)), ValueError, "fractions from 0 to 1, got values from"),
        (lambda tmp: Image(np.full((4, 6), np.nan)), ValueError, "fractions from 0 to 1"),
        (lambda tmp: Image([[1, 2], [3]]), ValueError, "An image is a file"),
        (lambda tmp: Image(PIXELS, encoder="clip"), ValueError, "an encoder of its own"),
        (lambda tmp: Sound(np.zeros(401, np.float32)), ValueError, r"lasts 0\.50 seconds, .* reads 0\.5"),
        (lambda tmp: Sound(wav(SAMPLES)[:100]), ValueError, "cut off or empty: 56 of 600 bytes"),
        (lambda tmp: Sound(b"RIFF"), ValueError, "is no WAV file"),
        (lambda tmp: Sound(wav(SAMPLES)[:24] + bytes(4) + wav(SAMPLES)[28:]), ValueError, "0 samples a second"),
        (lambda tmp: Sound(tmp / "no.wav"), FileNotFoundError, "no sound file"),
        (lambda tmp: Sound(SAMPLES * 9), ValueError, "go beyond"),
        (lambda tmp: Sound((SAMPLES, 0)), ValueError, "rate of a sound"),
        (lambda tmp: Sound(np.zeros((2, 2))), ValueError, "A sound is"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(media_pipe, tmp_path, source, error, words):
    with pytest.raises(error, match=words) as caught:
        media_pipe("The [SPAN:2] pub.", context=[source(tmp_path)])
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_an_encoder_says_how_to_train_one(tiny_pipe):
    for source, kind in ((Image(PIXELS), "image"), (Sound(SAMPLES), "sound")):
        with pytest.raises(ValueError, match=f"no encoder for {kind}s; train one .* data.{kind}_field"):
            tiny_pipe("The [SPAN:2] pub.", context=[source])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_encoder": {"hight": 4}}, "did you mean 'height'"),
        ({"image_encoder": {"height": 5, "patch": 2}}, "must divide height"),
        ({"image_encoder": {"channels": 2}}, "must be 1 .grey. or 3"),
        ({"image_encoder": {"size": 10, "heads": 4}}, "multiple of its heads"),
        ({"sound_encoder": {"patch": 3}}, "must be even"),
        ({"sound_encoder": {"seconds": 600.0}}, "at most 4096"),
        ({"sound_encoder": {"seconds": 0}}, "must lie in"),
        ({"sound_encoder": 3}, "must be a mapping"),
    ],
)
def test_settings_of_encoders_are_checked(settings, words):
    with pytest.raises(ValueError, match=words):
        DenoiserConfig(vocab_size=8, **settings)
