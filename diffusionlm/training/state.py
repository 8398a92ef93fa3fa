"""State of a `Trainer` at a step: into a checkpoint, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from diffusionlm.diffusion import schedule_from_dict
from diffusionlm.training.adapters import load_trained_state, trained_state
from diffusionlm.training.checkpoints import load_newest_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from diffusionlm.training.trainer import Trainer


def save_trainer(trainer: Trainer) -> None:
    """Writes a checkpoint of the step that was done last."""
    tensors = {"model": trained_state(trainer.denoiser), "average": trainer.average.state_dict()}
    if trainer.regression is not None:
        tensors["regression"] = trainer.regression.state_dict()
    state = {
        "tokens_seen": trainer.tokens_seen,
        "seconds": trainer.seconds,
        "schedule": trainer.schedule.to_dict(),
        "figures": trainer.figures,
        "settings": asdict(trainer.settings),
    }
    states = [optimizer.state_dict() for optimizer in trainer.optimizers]
    keep = trainer.settings.keep_checkpoints
    save_checkpoint(trainer.checkpoint_folder, trainer.step, tensors, states, state, keep)


def load_trainer(trainer: Trainer) -> bool:
    """Brings a trainer to the newest readable checkpoint in its folder; returns whether there was one.

    Raises:
        CheckpointError: if there are checkpoints and all are damaged.
        ValueError: if the checkpoint is of another network.
    """
    found = load_newest_checkpoint(trainer.checkpoint_folder)
    if found is None:
        return False
    tensors, optimizers, state = found
    try:
        load_trained_state(trainer.denoiser, tensors["model"])
        trainer.average.load_state_dict(tensors["average"])
        for optimizer, saved in zip(trainer.optimizers, optimizers, strict=True):
            base = [group["base_lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, value in zip(optimizer.param_groups, base, strict=True):
                group["base_lr"] = value
    except (RuntimeError, KeyError, ValueError) as error:
        raise ValueError(
            f"The checkpoint in {trainer.checkpoint_folder} is of another network or optimizer "
            f"({' '.join(str(error).split())[:300]}). Give the old settings, or train in another folder=..."
        ) from error
    if trainer.regression is not None and "regression" in tensors:
        trainer.regression.load_state_dict(tensors["regression"])
    trainer.schedule = schedule_from_dict(state["schedule"])
    trainer.step, trainer.tokens_seen, trainer.seconds = state["step"], state["tokens_seen"], state["seconds"]
    trainer.figures = dict(state.get("figures", {}))
    return True
