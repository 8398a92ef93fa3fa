"""Decisions on which the processes of one run must agree, though each of them may find another answer."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from diffusionlm.training.precision import Precision, choose_precision


def any_process(answer: bool, accelerator: Accelerator) -> bool:
    """True if one of the processes says yes; all get the same answer."""
    if accelerator.num_processes == 1:
        return answer
    yes = torch.tensor(float(answer), device=accelerator.device)
    return bool(accelerator.reduce(yes, "sum") > 0)


def agreed_precision(asked: str, accelerator: Accelerator) -> Precision:
    """Choice of the main process: rates that are close may be ordered differently in another."""
    chosen = [choose_precision(asked, accelerator.device)]
    if accelerator.num_processes > 1:
        broadcast_object_list(chosen)
    return chosen[0]
