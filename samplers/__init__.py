"""Solvers: how a latent moves from one noise level to the next, given the clean estimate; one file each.

* :mod:`~diffusionlm.samplers.sampler`: the contract.
* :mod:`~diffusionlm.samplers.registry`: names, and `make_sampler`.
* :mod:`~diffusionlm.samplers.diffusers_adapter`: any diffusers scheduler with ``prediction_type="sample"``.
"""

if __name__ != "diffusionlm.samplers":
    raise ImportError(
        "This folder is the package 'diffusionlm.samplers' and has no life of its own: "
        "write 'import diffusionlm.samplers' instead of 'import samplers'. "
        "(The bare name may belong to another distribution.)"
    )

from diffusionlm.samplers.ancestral import AncestralSampler
from diffusionlm.samplers.churn import ChurnSampler
from diffusionlm.samplers.diffusers_adapter import DiffusersSampler
from diffusionlm.samplers.dpm_solver import DPMSolver2MSampler
from diffusionlm.samplers.euler import EulerSampler
from diffusionlm.samplers.registry import SAMPLERS, make_sampler, sampler_to_dict
from diffusionlm.samplers.sampler import Sampler

__all__ = [
    "SAMPLERS",
    "AncestralSampler",
    "ChurnSampler",
    "DPMSolver2MSampler",
    "DiffusersSampler",
    "EulerSampler",
    "Sampler",
    "make_sampler",
    "sampler_to_dict",
]
