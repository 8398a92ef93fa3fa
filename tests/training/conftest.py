"""Texts and trainers in miniature."""

import pytest
from miniature_run import make_config, write_texts


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """A file of 200 short texts."""
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.txt")


@pytest.fixture
def build(tmp_path, texts):
    """Makes a trainer; changes as in `make_config`. What it logs is in ``trainer.logged``."""
    from diffusionlm.training.run import build_trainer

    def make(folder="run", **changes):
        logged = []
        trainer, _ = build_trainer(make_config(tmp_path / folder, texts, **changes), logged.append)
        trainer.logged = logged
        return trainer

    return make
