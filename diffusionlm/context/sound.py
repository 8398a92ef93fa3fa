"""`Sound`: a recording as memory, and how it is read and cut into patches."""

from __future__ import annotations

import io
import os
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.context.media import MediaSource
from diffusionlm.context.source import SOURCES
from diffusionlm.denoiser import SOUND

if TYPE_CHECKING:
    from diffusionlm.denoiser.media import MediaSettings

_FLOOR = 1e-4  # of power at loudness 1, so that silence is no minus infinity


@SOURCES.register("sound")
class Sound(MediaSource):
    """A recording, before the text of every row.

    Args:
        given: path of a WAV file; its bytes; samples (T,), integers of 16 bits or floats in -1..1, at the rate that the
            checkpoint reads; or (samples, rate).
        encoder: see `MediaSource`.

    Example:
        >>> pipe("[SPAN]", context=[Sound("order.wav")])  # doctest: +SKIP
    """

    segment = SOUND
    kind = "sound"


def read_sound(given: Any, rate: int) -> tuple[np.ndarray, int]:
    """Samples (T,) float32 in -1..1, channels averaged, and their rate.

    Args:
        given: as `Sound` takes it, or a dictionary with array and sampling_rate, bytes or path, as data sets hold them.
        rate: of samples that come without one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, is empty, or values are out of range.
    """
    if isinstance(given, dict):
        if given.get("array") is not None:
            given = given["array"], given.get("sampling_rate", rate)
        else:
            given = given.get("bytes") or given.get("path")
    if isinstance(given, str | os.PathLike | bytes | bytearray):
        return _opened(given)
    samples, own = given if isinstance(given, tuple) and len(given) == 2 else (given, rate)
    try:
        values = np.asarray(samples)
    except ValueError:
        values = np.zeros(())
    if isinstance(own, bool) or not isinstance(own, int | np.integer) or own < 1:
        raise ValueError(f"The rate of a sound is a number of samples a second, got {own!r}.")
    if values.dtype.kind not in "if" or values.ndim != 1 or not values.size:
        raise ValueError(
            f"A sound is a WAV file, its bytes, samples (T,), or (samples, rate); got {str(samples)[:60]!r}."
        )
    top = 32768.0 if values.dtype.kind == "i" else 1.0
    values = values.astype(np.float32) / np.float32(top)
    if not (np.abs(values).max() <= 1.0):  # NaN fails too
        raise ValueError("Samples are integers of 16 bits or fractions from -1 to 1; these go beyond: rescale them.")
    return values, int(own)


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples (T,) at another rate, by their Fourier series: no frequency above half of the lower rate is left."""
    if rate == wanted:
        return samples
    count = max(1, round(len(samples) * wanted / rate))
    series = np.fft.rfft(samples)
    out = np.zeros(count // 2 + 1, dtype=series.dtype)
    kept = min(len(out), len(series))
    out[:kept] = series[:kept]
    return (np.fft.irfft(out, count) * (count / len(samples))).astype(np.float32)


def sound_patches(samples: np.ndarray, rate: int, settings: MediaSettings) -> np.ndarray:
    """Patches (N, C) float32: samples, or two short spectra a patch.

    Args:
        samples: (T,) in -1..1.
        rate: of them.
        settings: `SoundSettings`.

    Raises:
        ValueError: if the sound is longer than the checkpoint reads.
    """
    own: Any = settings
    samples = resample(samples, rate, own.rate)
    longest = int(own.seconds * own.rate)
    if len(samples) > longest:
        raise ValueError(
            f"The sound lasts {len(samples) / own.rate:.2f} seconds, this checkpoint reads {own.seconds:g}: cut it first."
        )
    count = -(-len(samples) // own.patch)
    padded = np.zeros(count * own.patch, dtype=np.float32)
    padded[: len(samples)] = samples
    if not own.spectrum:
        return padded.reshape(count, own.patch)
    half = own.patch // 2
    framed = np.concatenate((padded, np.zeros(half, dtype=np.float32)))
    frames = np.stack([framed[start : start + own.patch] for start in range(0, len(padded), half)])
    loudness = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) + 1e-6
    power = np.abs(np.fft.rfft(frames * np.hanning(own.patch) / loudness)) ** 2
    level = np.log(power + _FLOOR)
    spectra = (level - level.mean()) / 4
    return spectra.astype(np.float32).reshape(count, settings.values)


def _opened(given: Any) -> tuple[np.ndarray, int]:
    data = isinstance(given, bytes | bytearray)
    what = f"The sound of {len(given)} bytes" if data else f"The sound {str(given)!r}"
    if not data and not Path(given).is_file():
        raise FileNotFoundError(f"There is no sound file {str(given)!r}.")
    try:
        with wave.open(io.BytesIO(given) if data else str(given), "rb") as file:
            channels, size, rate, frames = file.getparams()[:4]
            raw = file.readframes(frames)
    except (wave.Error, EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"{what} is no WAV file of plain samples, or is damaged ({error or 'it ends early'}); convert it to WAV."
        ) from error
    if rate < 1:
        raise ValueError(f"{what} says that it has {rate} samples a second; save it again.")
    if size not in (1, 2, 3, 4) or not frames or len(raw) < frames * channels * size:
        raise ValueError(
            f"{what} is cut off or empty: {len(raw)} of {frames * channels * size} bytes of samples; save it again."
        )
    if size == 1:
        values = np.frombuffer(raw, np.uint8).astype(np.float32) / 128 - 1
    elif size == 3:
        parts = np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(np.int32)
        signed = (parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16) << 8
        values = signed.astype(np.float32) / 2**31
    else:
        values = np.frombuffer(raw, f"<i{size}").astype(np.float32) / 2 ** (8 * size - 1)
    return values.reshape(-1, channels).mean(1).astype(np.float32), rate
