"""Every Python block and every command of the README and of docs/ runs, in the order of its page.

Python runs with ``pipe`` at hand (the bundled ``restaurant``), shell lines in an empty folder with small files of the names
that the pages use. Training is cut to two steps; commands that would install, serve or fetch are checked by name.
"""

import json
import lzma
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from diffusionlm.corpora.open_mix import load_recipe

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORT = ["model=tiny", "data.tokenizer.vocab_size=300", "data.tokens_per_batch=128"]
SHORT += ["trainer.max_steps=2", "trainer.valid_every=2", "trainer.valid_batches=1", "samples=0", "tensorboard=false"]

OPEN_MIX_SOURCES = {  # the files of the folder "sources", a line each
    "general/tatoeba.txt": "It is late.",
    "general/common_voice.txt": "Read it aloud.",
    "general/masc.txt": "It is written .",
    "general/tinystories.txt": "Once there was a mill. It is gone.",
    "toxicity/paradetox.jsonl": '{"toxic": "you are a fool", "neutral": ["You are not wise."]}',
    "toxicity/civil_comments.jsonl": '{"text": "What a fool.", "n_annotators": 1, "spans": [[7, 11, "Insult"]]}',
    "pii/templates.txt": "My card is {{credit_card_number}}.",
    "e2e/train.txt": "name : The Mill||The Mill is a pub .",
}
for source in load_recipe("everyday").sources:
    if source.file.endswith(".xz"):
        OPEN_MIX_SOURCES[source.file] = "A: Is it late? B: Yes, it is."


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def shell_lines(page: Path) -> list[list[str]]:
    """The shell lines of a page as words, comments left out, in order."""
    text = "\n".join(blocks(page, "sh", "bash", "console")).replace("\\\n", " ")
    lines = [shlex.split(line.strip().removeprefix("$ "), comments=True) for line in text.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="session")
def pipe():
    """The pipeline that the pages call ``pipe``."""
    from diffusionlm import DiffusionLMPipeline

    pipeline = DiffusionLMPipeline.from_pretrained("restaurant")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_blocks_run(page, pipe, tmp_path, monkeypatch):
    from diffusionlm.evaluation import registry as tasks
    from diffusionlm.guidance.registry import plugins as registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        registry.PLUGINS, "_registered", dict(registry.PLUGINS._registered)
    )  # what a page registers stays on the page
    monkeypatch.setattr(tasks.TASKS, "_registered", dict(tasks.TASKS._registered))
    if "runs/tuned_lora/adapter" in "".join(blocks(page, "python")):
        write_adapter(tmp_path / "runs" / "tuned_lora" / "adapter")
    if "runs/seeing/pipeline" in "".join(blocks(page, "python")):
        write_seeing(tmp_path / "runs" / "seeing" / "pipeline")
        write_pictures(tmp_path)
    names = {"pipe": pipe, "__name__": "docs"}
    for number, block in enumerate(blocks(page, "python"), 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


def write_adapter(folder: Path) -> None:
    """What the command above the block writes: an adapter of the bundled ``restaurant``."""
    pytest.importorskip("peft")
    from diffusionlm import DiffusionLMPipeline
    from diffusionlm.training.adapters import add_adapter, export_adapter

    denoiser = DiffusionLMPipeline.from_pretrained("restaurant").denoiser
    settings = {"kind": "lora", "rank": 1, "alpha": 1.0, "dropout": 0.0, "targets": ["q_proj"], "base": "full"}
    add_adapter(denoiser, settings)
    export_adapter(denoiser, folder, {})


def write_seeing(folder: Path) -> None:
    """What the command above the block writes: a checkpoint that reads images, here an untrained one."""
    from diffusionlm import DiffusionLMPipeline
    from diffusionlm.denoiser import DenoiserConfig, SpanDenoiser
    from diffusionlm.text import TextTokenizer

    tokenizer = TextTokenizer.train_bpe(["The picture shows a seven."] * 3, 270)
    sizes = {"embedding_size": 8, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    encoder = {"height": 8, "width": 8, "channels": 1, "patch": 2}
    config = DenoiserConfig(tokenizer.vocab_size, **sizes, num_hidden_layers=1, image_encoder=encoder)
    schedule = {"kind": "information", "gamma_min": -8.0, "gamma_max": 10.0, "mu": 2.0, "beta": 1.2}
    pipe = DiffusionLMPipeline(SpanDenoiser(config), tokenizer, schedule=schedule, max_length=16)
    pipe.save_pretrained(folder)


def write_pictures(folder: Path) -> None:
    """Two pictures, and a file of texts about them."""
    import numpy as np
    from PIL import Image

    for number, name in enumerate(("seven", "one")):
        Image.fromarray(np.full((8, 8), 100 * number, np.uint8)).save(folder / f"{name}.png")
    rows = [{"text": f"The picture shows a {name}.", "image": f"{name}.png"} for name in ("seven", "one")]
    (folder / "pictures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 4))


@pytest.mark.parametrize("page", [page for page in PAGES if shell_lines(page)], ids=lambda page: page.name)
def test_shell_lines_run(page, tmp_path, monkeypatch, capsys):
    from diffusionlm.cli import main
    from diffusionlm.guidance.registry import plugins as registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        registry.PLUGINS, "_registered", dict(registry.PLUGINS._registered)
    )  # my_plugin.py registers a name
    texts = [
        f"The {a} is a {b} pub {c}."
        for a in ("Mill", "Eagle", "Vaults")
        for b in ("cheap", "good")
        for c in ("here", "there")
    ]
    (tmp_path / "my_texts.txt").write_text("\n".join(texts * 5) + "\n")
    (tmp_path / "my_plugin.py").write_text(blocks(ROOT / "docs" / "write-a-plugin.md", "python")[0])
    (tmp_path / "letters.csv").write_text(
        "text,tone\n" + "".join(f"{text},{'ab'[i % 2]}\n" for i, text in enumerate(texts * 3))
    )
    kinds = (["toxicity", "insult"], ["toxicity", "obscene"], [])  # all labels of the bundled reader occur
    comments = [{"text": f"{text} Fools.", "labels": kinds[i % 3]} for i, text in enumerate(texts)]
    for comment in comments:
        comment["spans"] = [[len(comment["text"]) - 6, len(comment["text"]) - 1, "toxic"]] if comment["labels"] else []
    (tmp_path / "comments.jsonl").write_text("".join(json.dumps(comment) + "\n" for comment in comments))
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "The [SPAN:2] pub"}\n{"prompt": "name[The Mill]", "max_length": 9}\n'
    )
    write_pictures(tmp_path)
    for name, line in OPEN_MIX_SOURCES.items():
        (tmp_path / "sources" / name).parent.mkdir(parents=True, exist_ok=True)
        content = f"{line}\n".encode()
        (tmp_path / "sources" / name).write_bytes(lzma.compress(content) if name.endswith(".xz") else content)
    for base, kind in (("my_base", "llama"), ("my_bert", "bert")):
        if any(f"init={base}" in line for line in shell_lines(page)):
            from diffusionlm.families.tiny import tiny_module

            for part in tiny_module(kind):
                part.save_pretrained(tmp_path / base)
    for line in shell_lines(page):
        if line[0] != "diffusionlm":
            assert known(line), f"{page.name}: cannot tell whether {shlex.join(line)!r} works"
            continue
        try:
            code = main(made_short(line[1:]))
        except SystemExit as end:  # argparse ends with it, also after --help
            code = int(end.code or 0)
        assert code == 0, f"{shlex.join(line)}: {capsys.readouterr().err}"


def made_short(arguments: list[str]) -> list[str]:
    """The same command with little work: two steps of training on a file, none where the data is not here."""
    match arguments:
        case ["train", *given] if any(a.startswith("data.train=") for a in given):
            kept = [a for a in given if not a.startswith("trainer.max_steps=")]
            from_checkpoint = any(a.startswith("init=") for a in given)  # which fixes the shape of the network
            return ["train", *kept, *(SHORT[2:] if from_checkpoint else SHORT)]
        case ["distil", *given] if any(a.startswith("data.train=") for a in given):
            return ["distil", *given, *SHORT[2:]]
        case ["train" | "distil", *given]:
            return [arguments[0], *given, "--cfg"]
        case ["train-classifier", *given]:
            return ["train-classifier", *given, "trainer.max_steps=2", "trainer.tokens_per_batch=256"]
        case ["generate", *given]:
            given = ["workers=1" if a == "workers=2" else a for a in given]  # tests/serving starts several
            return ["generate", *([] if any(a.startswith("steps=") for a in given) else ["steps=4"]), *given]
        case ["guides", *_]:
            one = [] if "--only" in arguments else ["--only", "toxicity"]  # its own tests make them all
            return [*arguments, *one, "--steps", "2", "--made-up", "60"]
        case ["evaluate", "tasks"]:
            return arguments
        case ["evaluate", "compare", *_]:
            return ["evaluate", "--help"]  # there is nothing here to compare
        case ["evaluate", *given]:
            return ["evaluate", *given, "--cfg"]
        case ["serve", *_]:
            return ["serve", "--help"]  # tests/serving runs it
        case ["demo", *_]:
            return ["demo", "--help"]  # the tests of the demo start it
        case ["corpus", "open-mix", *_]:
            return [*arguments, "--requests", "5"]
        case ["corpus", *given]:
            return ["corpus", *given, "--size", "12", "--valid", "2", "--test", "2"]
    return arguments


def known(line: list[str]) -> bool:
    """Whether a command that is not ours is one that works: its target, extra or file exists."""
    match line:
        case ["make", *words]:
            targets = [word for word in words if "=" not in word]
            return bool(targets) and all(f"\n{t}:" in (ROOT / "Makefile").read_text() for t in targets)
        case ["pip", "install", *rest]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            named = re.findall(r"\[([\w,]+)\]", " ".join(rest))
            return all(extra in extras for group in named for extra in group.split(","))
        case ["python", "-m", module, *_]:
            return (ROOT / f"{module.replace('.', '/')}.py").is_file()
        case ["python", file, *_] | [".", file] | ["mkdocs", file, *_]:
            return (ROOT / file).is_file() or file in (".venv/bin/activate", "build", "serve")
        case ["git", "clone", *_]:
            return True
    return False


def benchmark_commands() -> list[tuple[str, str]]:
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "benchmarks" / "README.md"])
    found = re.findall(r"(?:python -m benchmarks\.|`)((?:bench_|autoregressive|fluency)\w*) ?([^`\n]*)", text)
    return sorted(set(found))


@pytest.mark.parametrize(("module", "rest"), benchmark_commands(), ids=lambda value: str(value)[:50])
def test_benchmarks_that_the_pages_name_exist_and_have_their_options(module, rest):
    path = ROOT / "benchmarks" / f"{module}.py"
    assert path.is_file()
    sources = "".join(file.read_text() for file in (ROOT / "benchmarks").rglob("*.py"))
    for option in re.findall(r"(?<!\S)--[\w-]+", rest.partition("#")[0]):
        field = rf"^ +{option[2:].replace('-', '_')}: \w+ = "  # some are the fields of a dataclass
        assert f'"{option}"' in sources or re.search(field, sources, re.MULTILINE), f"{module} has no option {option}"


def test_a_page_cannot_hide_code_in_a_language_that_is_not_run():
    for page in PAGES:
        languages = {language for language, _ in BLOCK.findall(page.read_text(encoding="utf-8"))}
        assert languages <= {"python", "sh", "bash", "console", "text", "toml", "json"}, page.name


@pytest.mark.parametrize("line", ["make nothing", "pip install '.[nothing]'", "python docs/nothing.py", "curl x | sh"])
def test_a_command_that_cannot_work_is_noticed(line):
    assert not known(shlex.split(line))
