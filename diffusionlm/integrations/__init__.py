"""Hooks for the loops of others: diffusers' token pipelines and transformers' generate, steered by our plugins.

* `SteeringLogitsProcessor`: for ``generate`` of transformers' DiffusionGemma.
* `SteeringScheduler`: around the token schedulers of diffusers (LLaDA2Pipeline, DiffusionGemmaPipeline).
* canvas_guide: what both share.
"""

from diffusionlm.integrations.logits_processor import SteeringLogitsProcessor
from diffusionlm.integrations.scheduler import SteeringScheduler

__all__ = ["SteeringLogitsProcessor", "SteeringScheduler"]
