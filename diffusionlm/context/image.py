"""`Image`: a picture as memory, and how it is read and cut into patches."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusionlm.context.media import MediaSource
from diffusionlm.context.source import SOURCES
from diffusionlm.denoiser import IMAGE

if TYPE_CHECKING:
    from diffusionlm.denoiser.media import MediaSettings

_LEAST_CONTRAST = 0.01  # so that the noise of a plain surface does not become a picture


@SOURCES.register("image")
class Image(MediaSource):
    """A picture, before the text of every row.

    Args:
        given: path of a file; its bytes; an array (H, W) or (H, W, C) of integers 0..255 or floats 0..1; or an image of Pillow.
        encoder: see `MediaSource`.

    Example:
        >>> pipe("[SPAN]", context=[Image("menu.png")])  # doctest: +SKIP
    """

    segment = IMAGE
    kind = "image"


def read_image(given: Any) -> np.ndarray:
    """Pixels (H, W, C) float32 in 0..1, with the channels that the file has: 1 or 3.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, or values are out of range.
        ModuleNotFoundError: if a file is given and Pillow is missing.
    """
    if isinstance(given, dict):  # as data sets of the hub hold them
        given = given.get("bytes") or given.get("path")
    if isinstance(given, str | os.PathLike | bytes | bytearray):
        return _opened(given)
    if hasattr(given, "convert"):
        return _of_pillow(given)
    try:
        pixels = np.asarray(given)
    except ValueError:
        pixels = np.zeros(())
    if pixels.dtype.kind not in "biuf" or pixels.ndim not in (2, 3) or not pixels.size:
        raise ValueError(
            f"An image is a file, its bytes, or an array (height, width) or (height, width, channels) of numbers, got "
            f"{str(given)[:60]!r}."
        )
    top = 1.0 if pixels.dtype.kind in "bf" else 255.0
    pixels = pixels.astype(np.float32) / np.float32(top)
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails too
        raise ValueError(
            f"Pixels are integers from 0 to 255 or fractions from 0 to 1, got values from {pixels.min() * top:g} to "
            f"{pixels.max() * top:g}: rescale the image."
        )
    return pixels[..., None] if pixels.ndim == 2 else pixels


def image_patches(pixels: np.ndarray, settings: MediaSettings) -> np.ndarray:
    """Patches (N, patch * patch * C) float32, row by row, of mean 0 and variance 1 over the image.

    Values that are not centred would make all images nearly the same to an encoder: most pixels of many are background.

    Args:
        pixels: (H, W, C) in 0..1.
        settings: `ImageSettings`.

    Raises:
        ValueError: if the shape is another than the checkpoint reads.
    """
    own: Any = settings
    if own.channels == 1 and pixels.shape[2] == 3:
        pixels = pixels @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)  # as Pillow makes grey (ITU-R 601)
    elif own.channels == 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    wanted = own.height, own.width, own.channels
    if pixels.shape != wanted:
        raise ValueError(
            f"The image has {pixels.shape[0]} x {pixels.shape[1]} pixels and {pixels.shape[2]} channels (height x width), this "
            f"checkpoint reads {wanted[0]} x {wanted[1]} and {wanted[2]}: resize it first."
        )
    side = own.patch
    cut = pixels.reshape(own.height // side, side, own.width // side, side, own.channels).transpose(0, 2, 1, 3, 4)
    return ((cut - cut.mean()) / (cut.std() + _LEAST_CONTRAST)).reshape(-1, settings.values).astype(np.float32)


def _opened(given: Any) -> np.ndarray:
    try:
        import PIL.Image
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Images from files need the package 'pillow': pip install 'diffusionlm-toolkit[media]', or give an array.",
            name="PIL",
        ) from None
    data = isinstance(given, bytes | bytearray)
    what = f"The image of {len(given)} bytes" if data else f"The image {str(given)!r}"
    if not data and not Path(given).is_file():
        raise FileNotFoundError(f"There is no image file {str(given)!r}.")
    try:
        with PIL.Image.open(io.BytesIO(given) if data else given) as image:
            return _of_pillow(image)
    except (OSError, SyntaxError, ValueError, EOFError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"{what} cannot be read, it is cut off or no image ({error}); save it again.") from error


def _of_pillow(image: Any) -> np.ndarray:
    if image.mode == "F" or image.mode.startswith("I"):  # of which Pillow's "L" keeps the lowest eight bits
        pixels = np.asarray(image)
        if image.mode != "F" and pixels.size and pixels.min() >= 0 and pixels.max() < 2**16:
            return read_image(pixels.astype(np.float64) / (2**16 - 1))
        return read_image(pixels)
    grey = image.mode in ("1", "L")
    return read_image(np.asarray(image.convert("L" if grey else "RGB")))
