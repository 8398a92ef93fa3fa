"""A tiny judge and a folder to evaluate in, for the tests of the harness."""

from pathlib import Path

import pytest

SENTENCES = [
    ("name[The Mill], price[cheap]", "The Mill is a cheap pub."),
    ("name[The Vaults], food[Italian]", "The Vaults serves Italian food."),
    ("name[The Eagle], near[the river]", "The Eagle is near the river and it is good."),
    ("name[Zizzi], food[Italian]", "Zizzi is an Italian place."),
]


@pytest.fixture
def bench(tiny_pipe, tmp_path: Path) -> Path:
    """A folder with a pipeline, a corpus of E2E's form in miniature, and a judge."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tiny_pipe.save_pretrained(tmp_path / "model")
    (tmp_path / "e2e").mkdir()
    for split in ("train", "valid"):
        lines = []
        for condition, text in SENTENCES[: 3 if split == "train" else 4]:
            fields = " | ".join(part.replace("[", " : ").rstrip("]") for part in condition.split(", "))
            lines.append(f"{fields}||{text.replace('.', ' .')}\n")
        (tmp_path / "e2e" / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
    tokenizer = tiny_pipe.tokenizer
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    judge = LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=256, **shape))
    judge.save_pretrained(tmp_path / "judge")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend, bos_token="<pad>").save_pretrained(tmp_path / "judge")
    return tmp_path


@pytest.fixture
def context(tiny_pipe, bench):
    """What a task gets, without a meter."""
    from diffusionlm.evaluation.context import Context
    from diffusionlm.evaluation.data import EvaluationData

    return Context(
        tiny_pipe,
        {"model": "model", "sha256": "0" * 64},
        bench / "out",
        EvaluationData(root=str(bench / "e2e")),
        judge=str(bench / "judge"),
        steps=2,
    )
