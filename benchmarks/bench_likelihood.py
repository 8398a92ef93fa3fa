"""Likelihood bound of held-out texts, in nats by text and by token, beside the autoregressive peer's likelihood.

    python -m benchmarks.bench_likelihood --model restaurant --data E2E --peer peer --count 512 --levels 32

Both models write whole texts from nothing. Ours has one open span of the pipeline's max_length; the pad tokens of its
tail are part of what is bounded, as the peer's end token is part of its likelihood. Both divide by the tokens of the
texts and one end for each. Ours is an upper bound, the peer's figure is exact.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.commandline import add_data, held_out_texts, load_pipeline, make_parser, texts_that_fit
from diffusionlm.evaluation.likelihood import TextNats, text_bounds
from diffusionlm.evaluation.record import Stopwatch, checkpoint_facts, settings_key, write_json

if TYPE_CHECKING:
    from benchmarks.peers.autoregressive import Peer


@torch.no_grad()
def peer_nats(peer: Peer, texts: Sequence[str], batch: int = 64) -> TextNats:
    """Exact nats of each text with its end under the peer, without a condition."""
    ids = peer.tokenizer.encode_batch(list(texts))
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    nats = [0.0] * len(ids)
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        rows = peer.nats([([], ids[index]) for index in part]).double().sum(-1).tolist()
        for index, value in zip(part, rows, strict=True):
            nats[index] = value
    return TextNats(tuple(nats), tuple(len(tokens) + 1 for tokens in ids))


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_arguments(arguments)
    watch = Stopwatch()
    pipe = load_pipeline(options)
    texts, left_out = texts_that_fit(pipe, held_out_texts(options), pipe.max_length, options.count)
    ours = text_bounds(
        pipe,
        texts,
        num_levels=options.levels,
        self_conditioning=not options.no_self_conditioning,
        batch_size=options.batch_size,
        seed=options.seed,
        progress=True,
    )
    checkpoint = checkpoint_facts(options.model)
    settings: dict[str, Any] = {
        **checkpoint,
        "count": options.count,
        "levels": options.levels,
        "self_conditioning": not options.no_self_conditioning,
        "seed": options.seed,
        "dtype": options.dtype,
    }
    parameters = sum(p.numel() for p in pipe.denoiser.parameters())
    figures: dict[str, Any] = {
        "texts_too_long_left_out": left_out,
        "diffusion (bound)": ours.to_dict() | {"parameters": parameters},
    }
    if options.peer is not None:
        from benchmarks.peers.autoregressive import Peer

        peer = Peer.load(options.peer, options.device)
        theirs = peer_nats(peer, texts)
        figures["autoregressive (exact)"] = theirs.to_dict() | {"parameters": peer.model.num_parameters()}
        if ours.tokens == theirs.tokens:
            figures["difference"] = ours.minus(theirs).to_dict()
        else:
            print("The peer has another tokenizer: compare nats by text, not by token.")
        settings["peer"] = options.peer.name
    print(to_markdown(figures))
    if left_out:
        print(f"\n{left_out} texts longer than {pipe.max_length} tokens were left out, for both.")
    path = (
        options.out / "likelihood" / f"{checkpoint['model']}-{checkpoint['sha256'][:8]}-{settings_key(settings)}.json"
    )
    write_json(path, watch.record("likelihood", settings, figures, options.device))
    print(f"Record: {path}")


def to_markdown(figures: dict[str, Any]) -> str:
    """One row a model, ± one standard error over texts."""
    rows = ["| model | parameters | nats a text | nats a token | tokens a text | texts |", "|---|---|---|---|---|---|"]
    for name, row in figures.items():
        if isinstance(row, dict):
            size = f"{row['parameters'] / 1e6:.2f} M" if "parameters" in row else ""
            rows.append(
                f"| {name} | {size} | {row['nats_per_text']:.2f} ± {row['nats_per_text_standard_error']:.2f} "
                f"| {row['nats_per_token']:.4f} ± {row['nats_per_token_standard_error']:.4f} "
                f"| {row['tokens_per_text']:.1f} | {row['texts']} |"
            )
    return "\n".join(rows)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_data(parser)
    parser.add_argument("--count", type=int, default=512, help="held-out texts (default: 512)")
    parser.add_argument("--levels", type=int, default=32, help="noise levels drawn for each text (default: 32)")
    parser.add_argument("--no-self-conditioning", action="store_true", help="one pass at each level in place of two")
    parser.add_argument("--batch-size", type=int, default=32, help="texts at once (default: 32)")
    parser.add_argument("--peer", type=Path, help="folder written by benchmarks.autoregressive train")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
