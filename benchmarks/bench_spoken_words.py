"""Words spoken by espeak-ng to their text: how many recordings of held-out voices are written down right.

    python -m benchmarks.bench_spoken_words --steps 1200

Twenty words are spoken by voices of espeak-ng (an accent and a variant each) at several speeds and pitches. Some variants are
held out: none of their recordings is trained on, whatever the accent. A small model is trained from nothing by 'diffusionlm
train' on the others, and then writes down the held-out ones. A text is right if it has the word and no other of the twenty.
Needs espeakng-loader, which brings espeak-ng as a library (GPL-3.0).
"""

from __future__ import annotations

import ctypes
import json
import random
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_digits import SIZES, named, share_right, short_run, train, written
from benchmarks.commandline import machine_parser, set_threads
from diffusionlm import DiffusionLMPipeline
from diffusionlm.context import Sound
from diffusionlm.evaluation.record import Stopwatch, settings_key, write_json

WORDS = (
    "water",
    "coffee",
    "pizza",
    "salad",
    "chicken",
    "noodles",
    "cheese",
    "sugar",
    "river",
    "garden",
    "window",
    "kitchen",
    "seven",
    "eleven",
    "morning",
    "evening",
    "doctor",
    "station",
    "music",
    "yellow",
)
SENTENCES = ("the word is {} .", "i heard {} .", "somebody says {} .")
ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp")
TRAINED = ("", "m1", "m2", "m3", "m4", "m6", "m7", "f1", "f2", "f4", "Annie", "Andy", "Gene", "Michael", "steph", "zac")
HELD_OUT = ("m5", "f3", "f5", "Denis", "linda", "Mario")
SPEEDS, PITCHES = (140, 170, 200), (35, 50, 65)  # words a minute; of 100
ENCODER = "model.sound_encoder={rate: 8000, seconds: 1.2, patch: 512, layers: 2, size: 96, heads: 4}"


class Speaker:
    """espeak-ng as a library.

    Raises:
        RuntimeError: if it cannot be started.
    """

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = Path(espeakng_loader.get_data_path())
        self.variants = {path.name for path in (data / "voices" / "!v").iterdir()}
        self.rate = self._library.espeak_Initialize(2, 0, str(data).encode(), 0)
        if self.rate <= 0:
            raise RuntimeError("espeak-ng cannot be started; reinstall espeakng-loader.")
        self._heard: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

        def listen(samples: Any, count: int, _: Any) -> int:
            if samples and count > 0:
                self._heard.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
            return 0

        self._callback = kind(listen)  # kept: the library calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
        """Samples (T,) int16 without the silence at both ends.

        Raises:
            ValueError: if there is no such voice, or it says nothing.
        """
        variant = voice.partition("+")[2]  # espeak-ng leaves out one that it does not know, and says nothing
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0 or (variant and variant not in self.variants):
            raise ValueError(f"espeak-ng has no voice {voice!r}.")
        self._library.espeak_SetParameter(1, speed, 0)
        self._library.espeak_SetParameter(3, pitch, 0)
        self._heard.clear()
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)
        self._library.espeak_Synchronize()
        sound = np.concatenate([np.zeros(0, np.int16), *self._heard])
        loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > 300)
        if not len(loud):
            raise ValueError(f"The voice {voice!r} says nothing for {text!r}.")
        return sound[loud[0] : loud[-1] + 1]


def recordings(
    speaker: Speaker, variants: Sequence[str], folder: Path, per_voice: int, rng: random.Random
) -> Iterator[Any]:
    """(word, file) of every word by every voice, ``per_voice`` times at speeds and pitches that are drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    for accent in ACCENTS:
        for variant in variants:
            voice = f"{accent}+{variant}" if variant else accent
            for word in WORDS:
                for take in range(per_voice):
                    sound = speaker.say(word, voice, rng.choice(SPEEDS), rng.choice(PITCHES))
                    path = folder / f"{accent}_{variant}_{word}_{take}.wav"
                    with wave.open(str(path), "wb") as file:
                        file.setparams((1, 2, speaker.rate, 0, "NONE", ""))
                        file.writeframes(sound.tobytes())
                    yield word, path


def main(argv: Sequence[str] | None = None) -> None:
    parser = machine_parser(__doc__)
    parser.add_argument("--steps", type=int, default=1200, help="of training")
    parser.add_argument("--write-steps", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    set_threads(options)
    watch, rng, speaker = Stopwatch(), random.Random(options.seed), Speaker()
    folder = (options.out / f"spoken_words_{options.seed}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    heard = list(recordings(speaker, TRAINED, folder / "train", 2, rng))
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for word, path in heard:
            text = rng.choice(SENTENCES).format(word)
            file.write(json.dumps({"text": text, "sound": str(path.relative_to(folder))}) + "\n")
    held_out = list(recordings(speaker, HELD_OUT, folder / "held_out", 1, rng))
    print(
        f"{len(heard)} recordings of {len(ACCENTS) * len(TRAINED)} voices; {len(held_out)} of others are held out",
        flush=True,
    )
    seconds = train(
        [
            *SIZES,
            ENCODER,
            f"data.train={folder / 'train.jsonl'}",
            "data.sound_field=sound",
            "data.tokenizer={kind: word, min_count: 1}",
            *short_run(8, 384, options.steps, options.seed),
        ],
        folder,
    )
    pipe = DiffusionLMPipeline.from_pretrained(folder / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    sounds, expected = [Sound(path) for _, path in held_out], [word for word, _ in held_out]
    texts = written(pipe, sounds, options.write_steps, options.seed, options.temperature)
    right = share_right(texts, expected, WORDS)
    print(f"{right:.1%} of {len(texts)} recordings of held-out voices are right; {seconds:.0f} s of training")
    wrong = [
        (path.stem, text) for (word, path), text in zip(held_out, texts, strict=True) if named(text, WORDS) != [word]
    ]
    for voice, text in wrong[:8]:
        print(f"  {voice}: {text}")
    settings = {"steps": options.steps, "write_steps": options.write_steps, "temperature": options.temperature}
    settings |= {"seed": options.seed}
    figures = {"right": right, "recordings": len(heard), "training_seconds": seconds, "seconds": watch.seconds}
    record = {"benchmark": "spoken words", **settings, **figures}
    write_json(options.out / f"spoken_words_{settings_key(settings)}.json", record)


if __name__ == "__main__":
    main()
