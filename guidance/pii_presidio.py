"""`PresidioJudge` under its earlier import path; it stands in `diffusionlm.guidance.pii`."""

from diffusionlm.guidance.pii.presidio import PresidioJudge

__all__ = ["PresidioJudge"]
