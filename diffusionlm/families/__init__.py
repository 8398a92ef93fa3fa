"""Other people's models behind the contract of `DiffusionModel`; one file a family.

* token_model, sheet, networks, switches: networks over tokens, in four switches.
* masked_lm, diffusion_transformers, decoders: the families.
* langflow, dit: the networks that are ours to define.
* family: the list of families, and what is known of a checkpoint.
"""

from diffusionlm.families.family import FAMILIES, Checkpoint, Choices, Family, Loaded
from diffusionlm.families.switches import Switches
from diffusionlm.families.token_model import TokenModel

__all__ = [
    "FAMILIES",
    "Checkpoint",
    "Choices",
    "Family",
    "Loaded",
    "Switches",
    "TokenModel",
]
