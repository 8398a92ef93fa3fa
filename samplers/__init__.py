"""Samplers: how a noisy text moves from one noise level to the next, given the token posterior; one file each.

* :mod:`~diffusionlm.samplers.sampler`: the contract.
* :mod:`~diffusionlm.samplers.unmasking`: for masked processes; :mod:`~diffusionlm.samplers.renoising`: for uniform ones.
* :mod:`~diffusionlm.samplers.registry`: names, and `make_sampler`.
* :mod:`~diffusionlm.samplers.gaussian.diffusers_adapter`: any diffusers scheduler with ``prediction_type="sample"``.
"""

if __name__ != "diffusionlm.samplers":
    raise ImportError(
        "This folder is the package 'diffusionlm.samplers' and has no life of its own: "
        "write 'import diffusionlm.samplers' instead of 'import samplers'. "
        "(The bare name may belong to another distribution.)"
    )

from diffusionlm.samplers.gaussian.ancestral import AncestralSampler
from diffusionlm.samplers.gaussian.churn import ChurnSampler
from diffusionlm.samplers.gaussian.diffusers_adapter import DiffusersSampler
from diffusionlm.samplers.gaussian.dpm_solver import DPMSolver2MSampler
from diffusionlm.samplers.gaussian.euler import EulerSampler
from diffusionlm.samplers.registry import DEFAULT_SAMPLERS, SAMPLERS, check_process, make_sampler, sampler_to_dict
from diffusionlm.samplers.sampler import GaussianSampler, Sampler
from diffusionlm.samplers.unmasking import UnmaskingSampler

__all__ = [
    "DEFAULT_SAMPLERS",
    "SAMPLERS",
    "AncestralSampler",
    "ChurnSampler",
    "DPMSolver2MSampler",
    "DiffusersSampler",
    "EulerSampler",
    "GaussianSampler",
    "Sampler",
    "UnmaskingSampler",
    "check_process",
    "make_sampler",
    "sampler_to_dict",
]
