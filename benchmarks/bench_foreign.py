"""Somebody else's model: a small ModernBERT trained on E2E with transformers' own Trainer, then steered.

    python -m benchmarks.bench_foreign --data DATA/e2e --folder runs/modernbert [--minutes 30] [--texts 50]

The first call trains (AutoTokenizer, ModernBertForMaskedLM, Trainer; no line of this library), a later one reads the folder.
Each text of a batch has a share of its tokens hidden that is drawn from (0, 1), so that the model learns to write from
nothing (Sahoo et al. 2024, "Simple and effective masked diffusion language models"); texts end in the end token and are
filled up with it. Then the folder is loaded by `DiffusionLMPipeline.from_pretrained(folder, family="masked")` and every rule is
asked of it, with the same seeds unguided beside.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.commandline import machine_parser, set_threads
from diffusionlm import DiffusionLMPipeline
from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.guidance import PII, Guidance, Length, Phrases, Regex

LENGTH = 48  # tokens of a training text, its end included
SPECIAL = ["[END]", "[MASK]", "[UNK]"]


def tokenizer_of(texts: list[str], size: int = 1536) -> Any:
    """Byte-level BPE as transformers has it, with an end and a mask token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="[END]", pad_token="[END]", mask_token="[MASK]", model_max_length=128
    )


def train(data: Path, folder: Path, minutes: float, seed: int) -> None:
    """Trains with transformers' Trainer until the time is over, and saves model and tokenizer into the folder."""
    from transformers import (
        ModernBertConfig,
        ModernBertForMaskedLM,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    texts = [text for _, text in read_e2e(data / "train.txt")]
    tokenizer = tokenizer_of(texts)
    end = tokenizer.eos_token_id
    rows = [ids for ids in tokenizer(texts)["input_ids"] if len(ids) < LENGTH]
    set_seed(seed)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=384,
        num_hidden_layers=6,
        num_attention_heads=4,
        max_position_embeddings=128,
        global_attn_every_n_layers=1,
        pad_token_id=end,
        eos_token_id=end,
        bos_token_id=None,
        cls_token_id=None,
        sep_token_id=None,
        attn_implementation="sdpa",
    )
    model = ModernBertForMaskedLM(config)

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        length = max(len(row["ids"]) for row in batch) + 1
        length = min(LENGTH, length + int(torch.randint(0, 9, ())))
        ids = torch.full((len(batch), length), end)
        for row, one in zip(ids, batch, strict=True):
            row[: len(one["ids"])] = torch.tensor(one["ids"])
        hidden = torch.rand(ids.shape) < torch.rand(len(batch), 1)
        return {
            "input_ids": ids.masked_fill(hidden, tokenizer.mask_token_id),
            "attention_mask": torch.ones_like(ids),
            "labels": ids.masked_fill(~hidden, -100),
        }

    class UntilTimeIsOver(TrainerCallback):
        began = time.process_time()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = time.process_time() - self.began > 60 * minutes

    settings = TrainingArguments(
        str(folder / "trainer"),
        per_device_train_batch_size=64,
        learning_rate=2e-3,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=100,
        weight_decay=0.01,
        num_train_epochs=1000,
        logging_steps=50,
        save_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        disable_tqdm=True,
    )
    dataset = [{"ids": ids} for ids in rows]
    Trainer(model, settings, train_dataset=dataset, data_collator=collate, callbacks=[UntilTimeIsOver()]).train()  # type: ignore[arg-type]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rules() -> dict[str, tuple[Guidance, Any]]:
    """Rules by name, and the test of a finished text that knows nothing of them."""
    import re

    return {
        "a value (Italian)": (Phrases(include=["Italian"]), lambda text: "Italian" in text),
        "two phrases": (Phrases(include=["The Mill", "river"]), lambda text: "The Mill" in text and "river" in text),
        "12 words": (Length(words=12), lambda text: len(text.split()) == 12),
        "a pattern (ends in £n.)": (Regex(require=r"£\d+\.$"), lambda text: bool(re.search(r"£\d+\.$", text))),
        "no 'the'": (Phrases(exclude=["the"], case_sensitive=False), lambda text: not re.search(r"(?i)\bthe\b", text)),
        "personal data": (PII(), lambda text: not re.search(r"\d{6,}|\w@\w", text)),
    }


def measure(folder: Path, texts: int, steps: int, seed: int) -> dict[str, Any]:
    """Success of every rule, unguided and guided, and the time of a call as a multiple."""
    pipe = DiffusionLMPipeline.from_pretrained(folder, family="masked")
    pipe.set_progress_bar_config(disable=True)

    def write(guidance: Any) -> tuple[list[str], float]:
        began = time.process_time()
        found = pipe(num_samples=texts, steps=steps, seed=seed, max_length=LENGTH, guidance=guidance).texts
        return found, time.process_time() - began

    free, plain = write(None)
    table: dict[str, Any] = {"unguided": free[:5]}
    for name, (rule, test) in rules().items():
        write(rule)
        guided, took = write(rule)
        table[name] = {
            "unguided": sum(map(test, free)) / texts,
            "guided": sum(map(test, guided)) / texts,
            "time": took / plain,
            "text": guided[0],
        }
    return table


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = machine_parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="folder of the E2E corpus, with train.txt")
    parser.add_argument("--folder", type=Path, default=Path("runs/modernbert"), help="where the model is or will be")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, of processor time")
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    set_threads(options)
    if not (options.folder / "config.json").is_file():
        train(options.data, options.folder, options.minutes, options.seed)
    table = measure(options.folder, options.texts, options.steps, options.seed)
    print("\n".join(table.pop("unguided")))
    print(f"\n| rule, {options.texts} texts | unguided | guided | time ÷ unguided | a text |\n|---|---|---|---|---|")
    for name, row in table.items():
        print(f"| {name} | {row['unguided']:.0%} | {row['guided']:.0%} | {row['time']:.2f} | {row['text']} |")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "foreign.json").write_text(json.dumps(table, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
