"""The mathematics of diffusion over token embeddings; no network lives here.

* :mod:`~diffusionlm.diffusion.process`: the Gaussian process and the token likelihood it implies.
* :mod:`~diffusionlm.diffusion.masked`: the masked process, its loss and its bound.
* :mod:`~diffusionlm.diffusion.noisy_text`: the state of a text under noise, Gaussian or masked.
* :mod:`~diffusionlm.diffusion.posterior`: token distributions, and drawing from them.
* :mod:`~diffusionlm.diffusion.draws`: random numbers of a batch, row by row.
* :mod:`~diffusionlm.diffusion.schedule`: gamma as a function of progress u: learned, square-root, cosine.
* :mod:`~diffusionlm.diffusion.information`: the regression that fits the learned schedule.
* :mod:`~diffusionlm.diffusion.objective`: the training loss with self-conditioning.
* :mod:`~diffusionlm.diffusion.likelihood`: the bound on the log-likelihood in nats per token.
"""

from diffusionlm.diffusion.draws import Draws
from diffusionlm.diffusion.information import InformationRegression
from diffusionlm.diffusion.likelihood import LikelihoodBound, likelihood_bound
from diffusionlm.diffusion.masked import hide, masked_bound, masked_cross_entropy
from diffusionlm.diffusion.noisy_text import NoisyEmbeddings, NoisyText, NoisyTokens, tensors_of
from diffusionlm.diffusion.objective import cross_entropy, diffusion_loss, draw_progress
from diffusionlm.diffusion.posterior import Posterior
from diffusionlm.diffusion.process import alpha_sigma, diffuse, noise_estimate, token_log_likelihood
from diffusionlm.diffusion.schedule import (
    CosineSchedule,
    InformationSchedule,
    MaskingSchedule,
    NoiseSchedule,
    SquareRootSchedule,
    schedule_from_dict,
)

__all__ = [
    "CosineSchedule",
    "Draws",
    "InformationRegression",
    "InformationSchedule",
    "LikelihoodBound",
    "MaskingSchedule",
    "NoiseSchedule",
    "NoisyEmbeddings",
    "NoisyText",
    "NoisyTokens",
    "Posterior",
    "SquareRootSchedule",
    "alpha_sigma",
    "cross_entropy",
    "diffuse",
    "diffusion_loss",
    "draw_progress",
    "hide",
    "likelihood_bound",
    "masked_bound",
    "masked_cross_entropy",
    "noise_estimate",
    "schedule_from_dict",
    "tensors_of",
    "token_log_likelihood",
]
