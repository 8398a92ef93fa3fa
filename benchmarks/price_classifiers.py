"""The guide and the judges of "price range" that the benchmarks of guidance share.

The guide steers; the judges say whether it worked, and share nothing with it: neither the sentences they were trained
on nor the kind of model. It would be no news that a classifier is convinced by texts that were bent until it was.

* guide: a BERT of two layers with a WordPiece tokenizer of its own, trained on one half of the training sentences.
  Half of its inputs are blurred towards the mean embedding, as a token posterior is while there is noise (after
  Dhariwal and Nichol 2021, section 4.1, whose classifier reads noisy input).
* second classifier: logistic regression on hashed runs of one to three words, trained on the other half.
* words: what people write for a price range, as regular expressions, a range at a time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from diffusionlm.corpora.e2e import read_e2e
from diffusionlm.evaluation.diversity import ngrams, words

RANGES = ("low", "middle", "high")
LABELS = ("none", *RANGES)
VALUES = {
    "low": ("cheap", "less than £20"),
    "middle": ("moderate", "£20-25"),
    "high": ("high", "more than £30"),
}
_RANGE_OF = {value: name for name, values in VALUES.items() for value in values}
# wordings of the training sentences; of those that contain only one range's, 95 % or more have that range
_SAID = {
    "low": r"cheap(?:ly|er)?|inexpensive\w*|low(?:er)?[- ](?:pric\w*|costs?)|(?:less than|under|below) £ ?20",
    "middle": r"moderate(?:ly)?|(?:mid|medium|average)(?:[- ]?range)?[- ]priced|(?:mid|medium)[- ]prices?"
    r"|£20(?:-| to | and )£?25",
    "high": r"expensive|high(?:er|ly)?[- ](?:end )?(?:pric\w*|costs?)|(?:more than|over|above) £ ?30|pricey",
}
SAID = {
    "low": r"cheap\w*|inexpensive\w*|low(?:er)?[- ](?:price|cost)\w*|(?:less than|under|below) £ ?20|budget",
    "middle": r"moderate\w*|(?:average|mid|medium|reasonabl[ey])[- ]?(?:range )?pric\w*|£ ?20 ?(?:-|to|and) ?£?25",
    "high": r"expensive|high(?:er|ly)?[- ](?:end )?(?:cost|pric)\w*|(?:more than|over|above) £ ?30|pric(?:ey|y)",
}
SAID = {name: re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE) for name, pattern in _SAID.items()}


def labelled(path: Path, draw: random.Random | None = None) -> list[tuple[str, int]]:
    """Sentences of an E2E file, each with the number of its label.

    The corpus has few restaurants, each with few price ranges, so a classifier would learn their names instead. With
    ``draw`` every name, and every name of a neighbour, is exchanged for one that is drawn.
    """
    pairs = read_e2e(path)
    known = {field: sorted({v for c, _ in pairs for v in _values(c, field)}) for field in ("name", "near")}
    found = []
    for condition, text in pairs:
        if draw is not None:
            for field, names in known.items():
                for value in _values(condition, field):
                    text = text.replace(value, draw.choice(names))
        price = _values(condition, "price")
        found.append((text, LABELS.index(_RANGE_OF[price[0]]) if price else 0))
    return found


def _values(condition: str, field: str) -> list[str]:
    return re.findall(rf"(?:^|, ){field}\[([^\]]*)\]", condition)


def said_ranges(text: str) -> set[str]:
    """The price ranges whose words a text contains."""
    return {name for name, pattern in SAID.items() if pattern.search(text)}


def says(text: str, name: str) -> bool:
    """Whether a text speaks of this price range and of no other."""
    return said_ranges(text) == {name}


# ---- the second classifier ------------------------------------------------------------------------------------------


class HashedRuns:
    """Logistic regression on hashed runs of one to three words, one number for each label.

    Args:
        weights: (buckets + 1, labels); the last row stands for no run.
    """

    buckets = 2**16

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    @classmethod
    def train(cls, pairs: Sequence[tuple[str, int]], epochs: int = 3, seed: int = 1) -> HashedRuns:
        """Adam on batches of 256 sentences."""
        table = nn.EmbeddingBag(cls.buckets, len(LABELS), mode="sum")
        nn.init.zeros_(table.weight)
        optimizer = torch.optim.Adam(table.parameters(), 0.01)
        features = [cls.features(text) for text, _ in pairs]
        targets = torch.tensor([label for _, label in pairs])
        draw = torch.Generator().manual_seed(seed)
        for _ in range(epochs):
            for chosen in torch.randperm(len(pairs), generator=draw).split(256):
                logits = table(*_bags([features[i] for i in chosen.tolist()]))
                optimizer.zero_grad()
                F.cross_entropy(logits, targets[chosen]).backward()
                optimizer.step()
        return cls(table.weight.detach())

    @classmethod
    def features(cls, text: str) -> list[int]:
        """Bucket of every run of one to three words."""
        tokens = ["^", *words(text.lower())]
        return [crc32(" ".join(run).encode()) % cls.buckets for n in (1, 2, 3) for run in ngrams(tokens, n)]

    @torch.no_grad()
    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """(texts, labels)."""
        indices, starts = _bags([self.features(text) for text in texts])
        return F.embedding_bag(indices, self.weights, starts, mode="sum").softmax(-1)


def _bags(features: Sequence[Sequence[int]]) -> tuple[Tensor, Any]:
    """Flat indices and where each bag begins; the second is typed loosely, as PyTorch's own stubs have it."""
    starts = torch.tensor([0, *(len(row) for row in features)]).cumsum(0)[:-1]
    return torch.tensor([index for row in features for index in row]), starts


# ---- the guide ------------------------------------------------------------------------------------------------------


def train_guide(pairs: Sequence[tuple[str, int]], epochs: int = 3, seed: int = 0) -> tuple[Any, Any]:
    """The guide and its tokenizer; about a minute on one core."""
    from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup

    tokenizer = _wordpiece([text for text, _ in pairs])
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=128,
        hidden_dropout_prob=0.1,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )
    coded = tokenizer([text for text, _ in pairs], truncation=True, max_length=128)["input_ids"]
    order = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config).train()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
        batches = _batches(coded, 128)
        steps = epochs * len(batches)
        schedule = get_linear_schedule_with_warmup(optimizer, steps // 20, steps)
        for step in track(range(steps), "training the guide", transient=True):
            if step % len(batches) == 0:
                order.shuffle(batches)
            rows = batches[step % len(batches)]
            ids = nn.utils.rnn.pad_sequence([torch.tensor(coded[i]) for i in rows], batch_first=True)
            embedding = model.get_input_embeddings().weight
            logits = model(
                inputs_embeds=_blurred(embedding[ids], embedding.mean(0)),
                attention_mask=(ids != 0).long(),
                token_type_ids=torch.zeros_like(ids),
            ).logits
            optimizer.zero_grad()
            F.cross_entropy(logits, torch.tensor([pairs[i][1] for i in rows])).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval().requires_grad_(False), tokenizer


def _blurred(embeddings: Tensor, mean: Tensor) -> Tensor:
    """Half of the texts are drawn towards the mean embedding, each of their positions by a share of its own."""
    rows, length, _ = embeddings.shape
    share = torch.rand(rows, 1, 1) * (torch.rand(rows, 1, 1) < 0.5)
    share = share * torch.rand(rows, length, 1).sqrt()
    return (1 - share) * embeddings + share * mean


def _batches(coded: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Rows of about equal length side by side."""
    order = sorted(range(len(coded)), key=lambda i: len(coded[i]))
    return [order[i : i + size] for i in range(0, len(order), size)]


def _wordpiece(texts: Sequence[str], size: int = 2000) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    )
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


# ---- both, kept -----------------------------------------------------------------------------------------------------


def guide_and_judge(data: Path, folder: Path, seed: int = 0) -> tuple[Any, Any, HashedRuns, dict[str, float]]:
    """Guide, its tokenizer, the second classifier, and how often each is right on held-out sentences.

    Trained once and read from ``folder`` afterwards.
    """
    import json

    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = folder / f"price-{seed}"
    record = folder / "accuracy.json"
    if not record.is_file():
        draw = random.Random(seed)
        pairs = labelled(data / "train.txt", draw)
        draw.shuffle(pairs)
        half = len(pairs) // 2
        judge = HashedRuns.train(pairs[half:], seed=seed + 1)
        model, tokenizer = train_guide(pairs[:half], seed=seed)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        torch.save(judge.weights, folder / "judge.pt")
        accuracy = accuracies(model, tokenizer, judge, labelled(data / "valid.txt"))
        record.write_text(json.dumps(accuracy, indent=1) + "\n", encoding="utf-8")  # last: it says that all is there
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval().requires_grad_(False)
    judge = HashedRuns(torch.load(folder / "judge.pt", weights_only=True))
    accuracy = json.loads(record.read_text(encoding="utf-8"))
    return model, AutoTokenizer.from_pretrained(folder), judge, accuracy


@torch.no_grad()
def accuracies(model: Any, tokenizer: Any, judge: HashedRuns, pairs: Sequence[tuple[str, int]]) -> dict[str, float]:
    """Share of right answers of guide and second classifier; share of the texts of a range that the words find, and of
    those they find that have the range."""
    texts, targets = [text for text, _ in pairs], torch.tensor([label for _, label in pairs])
    guesses = []
    for rows in torch.arange(len(texts)).split(256):
        coded = tokenizer(
            [texts[i] for i in rows.tolist()], padding=True, truncation=True, max_length=128, return_tensors="pt"
        )
        guesses.append(model(**coded).logits.argmax(-1))
    found = [[says(text, name) for name in RANGES] for text in texts]
    hits = torch.tensor(found) & (targets[:, None] == torch.arange(1, len(LABELS)))
    return {
        "guide": float((torch.cat(guesses) == targets).float().mean()),
        "second classifier": float((judge.probabilities(texts).argmax(-1) == targets).float().mean()),
        "words, recall": float(hits.sum() / (targets > 0).sum()),
        "words, precision": float(hits.sum() / torch.tensor(found).sum()),
    }
