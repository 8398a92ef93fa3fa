"""From a treebank to guides: a tagger and a parser learn, counts are saved and steer."""

import torch

from diffusionlm.guidance import Constituents, PartOfSpeech
from diffusionlm.guidance.constraints.constraint import bind_rules
from diffusionlm.guidance.syntax.tables import load_tables
from diffusionlm.guidance.syntax.windows import load_windows
from diffusionlm.spans import Canvas
from diffusionlm.text import TextTokenizer
from diffusionlm.training.syntax.guides import train_guides
from diffusionlm.training.syntax.parser import bracket_f1, train_parser
from diffusionlm.training.syntax.treebanks import read_conllu, read_ptb

WORDS = [
    ("The", "DET", "DT"),
    ("pub", "NOUN", "NN"),
    ("serves", "VERB", "VBZ"),
    ("cheap", "ADJ", "JJ"),
    ("food", "NOUN", "NN"),
]
HEADS = [(2, "det"), (3, "nsubj"), (0, "root"), (5, "amod"), (3, "obj")]
TREE = "(ROOT (S (NP-SBJ (DT The) (NN {0})) (VP (VBZ serves) (NP (JJ {1}) (NN {2})))))"


def write_treebanks(folder):
    nouns, adjectives, foods = ["pub", "bar", "shop", "place"], ["cheap", "good", "fine"], ["food", "wine", "tea"]
    trees, blocks, texts = [], [], []
    for noun in nouns:
        for adjective in adjectives:
            for food in foods:
                words = ["The", noun, "serves", adjective, food]
                rows = [
                    "\t".join([str(i + 1), word, word, upos, xpos, "_", str(head), relation, "_", "_"])
                    for i, (word, (_, upos, xpos), (head, relation)) in enumerate(zip(words, WORDS, HEADS, strict=True))
                ]
                blocks.append("\n".join(rows))
                trees.append(TREE.format(noun, adjective, food))
                texts.append(" ".join(words))
    for name, lines in (
        ("ewt-train.conllu", "\n\n".join(blocks * 3) + "\n\n"),
        ("gum-train.ptb", "\n".join(trees * 3)),
    ):
        (folder / name).write_text(lines)
    return texts


def test_treebanks_are_read(tmp_path):
    write_treebanks(tmp_path)
    sentence = read_conllu(tmp_path / "ewt-train.conllu")[0]
    assert sentence.upos == ["DET", "NOUN", "VERB", "ADJ", "NOUN"]
    assert sentence.heads == [1, 2, -1, 4, 2]
    tree = read_ptb(tmp_path / "gum-train.ptb")[0]
    assert tree.xpos == ["DT", "NN", "VBZ", "JJ", "NN"]
    assert tree.tree.spans() == [(0, 4, "S"), (0, 1, "NP"), (2, 4, "VP"), (3, 4, "NP")]


def test_a_parser_learns_the_trees_it_is_shown(tmp_path):
    write_treebanks(tmp_path)
    sentences = read_ptb(tmp_path / "gum-train.ptb")
    parser = train_parser(sentences, epochs=6, width=16, rate=1e-2)
    found = parser.parse([s.words for s in sentences[:10]])
    assert bracket_f1(found, [s.tree.spans() for s in sentences[:10]]) > 0.95
    inside = {(i, j, label): p for i, j, label, p in parser.marginals([sentences[0].words])[0]}
    assert inside[(0, 1, "NP")] > 0.5


def test_guides_are_written_and_steer(tmp_path):
    texts = write_treebanks(tmp_path)
    tokenizer = TextTokenizer.train_words(texts * 20, min_count=1)
    said = []
    train_guides(
        tokenizer,
        [("", text) for text in texts * 3],
        tmp_path,
        tmp_path / "readers",
        tagger_epochs=4,
        parser_epochs=8,
        say=said.append,
    )
    assert load_tables(tmp_path / "readers" / "part-of-speech").fingerprint == tokenizer.vocabulary.fingerprint
    assert "NP" in load_windows(tmp_path / "readers" / "constituents").labels
    assert "det>" in load_windows(tmp_path / "readers" / "dependencies").labels
    layout = Canvas.whole(6).lay_out(tokenizer, 6)
    tables = tmp_path / "readers" / "part-of-speech"
    log_p = (
        torch.zeros(1, 6, tokenizer.vocab_size)
        .masked_fill(~layout.allowed(tokenizer.vocabulary), -torch.inf)
        .log_softmax(-1)
    )
    for plugin in (
        PartOfSpeech("DET NOUN VERB ADJ NOUN", tables=tables),
        Constituents("NP 0-1", tables=tables, windows=tmp_path / "readers" / "constituents"),
    ):
        plugin.bind(tokenizer.vocabulary)
        bound = bind_rules([plugin], layout, tokenizer.vocabulary, layout.allowed(tokenizer.vocabulary))
        ids = bound.viterbi(log_p)[0].tolist()
        text = tokenizer.decode(ids)
        assert all(plugin.certify(text, [ids]).values()), text
        assert text.startswith("The ")
