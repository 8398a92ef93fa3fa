"""`KINDS` under its earlier import path; it stands in `diffusionlm.guidance.pii`."""

from diffusionlm.guidance.pii.patterns import KINDS

__all__ = ["KINDS"]
