"""Texts longer than the model was trained on: RoPE scaled when it is used, without any training.

Three ways, which differ in what becomes of the frequencies when positions reach ``factor`` times as far: *linear* divides all
positions (Chen et al. 2023, "Extending context window of large language models via positional interpolation"), *base* raises
the base so that the slowest frequency is divided and the fastest stays ("NTK-aware"; Rozière et al. 2023, "Code Llama", section
2.4, change the base likewise), *yarn* divides slow frequencies, keeps fast ones and sharpens attention (Peng et al. 2023,
"YaRN"). *none* uses positions that were never seen, which is also all that ALiBi needs (Press et al. 2022).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from diffusionlm.denoiser.positions import RotaryEmbedding

if TYPE_CHECKING:
    from diffusionlm.denoiser.configuration import DenoiserConfig
    from diffusionlm.denoiser.model import SpanDenoiser

METHODS = ("none", "linear", "base", "yarn")


def scaled_parameters(config: DenoiserConfig, method: str, factor: float) -> dict[str, Any]:
    """``rope_parameters`` for texts ``factor`` times as long as those of training.

    Args:
        config: of the model as it was trained, with RoPE of type "default".
        method: of `METHODS`.
        factor: at least 1.

    Raises:
        ValueError: for an unknown method, a factor below 1, or a model that has no plain RoPE.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if factor < 1:
        raise ValueError(f"Positions are scaled by a factor of at least 1, got {factor}.")
    own = dict(config.rope_parameters)
    if method != "none" and (config.position_kind != "rope" or own.get("rope_type", "default") != "default"):
        kind = "ALiBi" if config.position_kind != "rope" else f"RoPE of type {own['rope_type']!r}"
        raise ValueError(f"{method!r} scales plain RoPE, and this model has {kind}: use method='none'.")
    base = float(own.get("rope_theta") or 10000.0)
    if method == "none" or factor == 1:
        return own
    if method == "base":
        return {**own, "rope_theta": base * factor ** (config.head_dim / (config.head_dim - 2))}
    scaled = {**own, "rope_theta": base, "rope_type": method, "factor": float(factor)}
    if method == "yarn":
        patches = -(-config.max_position_embeddings // config.patch_size)  # the positions that RoPE counts
        scaled["original_max_position_embeddings"] = patches
    return scaled


def scale_positions(denoiser: SpanDenoiser, method: str, length: int) -> None:
    """Lets a model take texts of ``length`` positions from now on; a second call begins from its training again.

    Args:
        denoiser: the model.
        method: of `METHODS`.
        length: positions of the longest text.

    Raises:
        ValueError: as `scaled_parameters`, or for a length below that of training.
    """
    config: Any = denoiser.config
    check_longer(denoiser, length)
    trained, parameters = trained_positions(denoiser)
    now = config.rope_parameters, config.max_position_embeddings
    config.rope_parameters, config.max_position_embeddings = parameters, trained
    try:
        scaled = scaled_parameters(config, method, length / trained)
    except ValueError:
        config.rope_parameters, config.max_position_embeddings = now
        raise
    config.rope_parameters = scaled
    if denoiser.rotary is not None:
        device = denoiser.rotary.inverse_frequency.device
        denoiser.rotary = RotaryEmbedding(config).to(device)
        denoiser.rotary.reset()
    config.max_position_embeddings = length
    denoiser.trained_positions = (trained, parameters)


def check_longer(denoiser: SpanDenoiser, length: int) -> None:
    """Refuses a length below that of training.

    Raises:
        ValueError: naming both.
    """
    trained, _ = trained_positions(denoiser)
    if length < trained:
        raise ValueError(
            f"The model was trained on texts of {trained} positions; length must be at least that, got {length}."
        )


def trained_positions(denoiser: SpanDenoiser) -> tuple[int, dict[str, Any]]:
    """Positions of the longest text of training, and ``rope_parameters`` there."""
    config = denoiser.config
    return denoiser.trained_positions or (config.max_position_embeddings, dict(config.rope_parameters))


def chosen_method(measured: dict[str, Any] | None, length: int, position_kind: str = "rope") -> str:
    """What a measurement (``benchmarks.bench_extension``) says of texts of ``length`` positions.

    Warns where nothing was measured, or nothing that long (then the base is changed, or what was best for the longest that
    was), and where blocks did better.

    Args:
        measured: ``{"64": {"none": nats a token}, "128": {"none": ..., "base": ..., "blocks": ...}}`` from the card of the
            weights.
        length: positions of the longest text.
        position_kind: of the model; ALiBi is left as it is.
    """
    lengths = sorted(int(own) for own in measured or {})
    if not lengths:
        method = "base" if position_kind == "rope" else "none"
        warnings.warn(
            f"Nothing is measured about these weights at {length} positions, so positions are scaled by the method {method!r}: "
            "'python -m benchmarks.bench_extension' measures it, or name a method.",
            stacklevel=3,
        )
        return method
    near = next((own for own in lengths if own >= length), lengths[-1])
    if length > lengths[-1]:
        warnings.warn(
            f"These weights were measured up to {lengths[-1]} positions, not at {length}: longer texts may be worse. Texts of "
            "any length are written in blocks without it.",
            stacklevel=3,
        )
    assert measured is not None
    nats = dict(measured[str(near)])
    blocks = nats.pop("blocks", None)
    best = min(nats, key=lambda name: float(nats[name]))
    if blocks is not None and blocks < nats[best]:
        warnings.warn(
            f"At {near} positions these weights had {nats[best]:.2f} nats a token at best ({best}), and {blocks:.2f} in "
            "blocks: a text of that length is better written in blocks, as it is without scale_positions.",
            stacklevel=3,
        )
    return best
