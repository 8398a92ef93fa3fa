"""BibTeX of the methods that a text was made with.

Whatever implements a method names it in an attribute ``reference``, beside the code: plugins, strategies, samplers, noise
schedules, and `DenoiserConfig.references`. Here such a reference becomes BibTeX. Its form is "Ho and Salimans 2022,
Classifier-free diffusion guidance, eq. 6"; several are separated by semicolons, and a part without a year is a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import diffusionlm

TITLE = "diffusionlm: a diffusion language model that writes spans of text, steered by guidance plugins"


@dataclass(frozen=True)
class Paper:
    """A publication.

    Attributes:
        short: authors and year as references give them, "Li et al. 2022".
        title: in full.
        authors: in BibTeX's form.
        where: journal, conference or address on the web.
        arxiv: number on arXiv, if it is there.
    """

    short: str
    title: str
    authors: str
    where: str = ""
    arxiv: str = ""

    @property
    def key(self) -> str:
        """Key of its BibTeX entry: first author, year, first word of the title."""
        return _key(self.short, self.title)

    def bibtex(self) -> str:
        """Its entry."""
        kind, fields = "misc", {"title": f"{{{self.title}}}", "author": self.authors, "year": self.short[-4:]}
        if self.where.startswith("http"):
            fields["url"] = self.where
        elif self.where:
            kind, fields["journal"] = "article", self.where
        if self.arxiv:
            fields |= {"eprint": self.arxiv, "archiveprefix": "arXiv", "url": f"https://arxiv.org/abs/{self.arxiv}"}
        return _entry(kind, self.key, fields)


PAPERS = (
    Paper(
        "Austin et al. 2021",
        "Structured denoising diffusion models in discrete state-spaces",
        "Austin, Jacob and Johnson, Daniel D. and Ho, Jonathan and Tarlow, Daniel and van den Berg, Rianne",
        "",
        "2107.03006",
    ),
    Paper(
        "Baum et al. 1970",
        "A maximization technique occurring in the statistical analysis of probabilistic functions of Markov chains",
        "Baum, Leonard E. and Petrie, Ted and Soules, George and Weiss, Norman",
        "The Annals of Mathematical Statistics 41(1)",
    ),
    Paper(
        "Beck and Teboulle 2003",
        "Mirror descent and nonlinear projected subgradient methods for convex optimization",
        "Beck, Amir and Teboulle, Marc",
        "Operations Research Letters 31(3)",
    ),
    Paper(
        "Borgeaud et al. 2022",
        "Improving language models by retrieving from trillions of tokens",
        "Borgeaud, Sebastian and Mensch, Arthur and Hoffmann, Jordan and Cai, Trevor and Rutherford, Eliza and others",
        arxiv="2112.04426",
    ),
    Paper(
        "Chen et al. 2022",
        "Analog bits: generating discrete data using diffusion models with self-conditioning",
        "Chen, Ting and Zhang, Ruixiang and Hinton, Geoffrey",
        arxiv="2208.04202",
    ),
    Paper(
        "Chen et al. 2026",
        "LangFlow: continuous diffusion rivals discrete in language modeling",
        "Chen, Yuxin and Liang, Chumeng and Sui, Hangke and Guo, Ruihan and Cheng, Chaoran and You, Jiaxuan and Liu, Ge",
        arxiv="2604.11748",
    ),
    Paper(
        "Chung et al. 2023",
        "Diffusion posterior sampling for general noisy inverse problems",
        "Chung, Hyungjin and Kim, Jeongsol and Mccann, Michael T. and Klasky, Marc L. and Ye, Jong Chul",
        arxiv="2209.14687",
    ),
    Paper(
        "Corso et al. 2024",
        "Particle guidance: non-I.I.D. diverse sampling with diffusion models",
        "Corso, Gabriele and Xu, Yilun and de Bortoli, Valentin and Barzilay, Regina and Jaakkola, Tommi",
        arxiv="2310.13102",
    ),
    Paper(
        "Hinton 2002",
        "Training products of experts by minimizing contrastive divergence",
        "Hinton, Geoffrey E.",
        "Neural Computation 14(8)",
    ),
    Paper(
        "Dantzig, Fulkerson and Johnson 1954",
        "Solution of a large-scale traveling-salesman problem",
        "Dantzig, G. and Fulkerson, R. and Johnson, S.",
        "Journal of the Operations Research Society of America 2(4)",
    ),
    Paper(
        "Dathathri et al. 2020",
        "Plug and play language models: a simple approach to controlled text generation",
        "Dathathri, Sumanth and Madotto, Andrea and Lan, Janice and Hung, Jane and Frank, Eric and Molino, Piero and "
        "Yosinski, Jason and Liu, Rosanne",
        arxiv="1912.02164",
    ),
    Paper(
        "Dhariwal and Nichol 2021",
        "Diffusion models beat GANs on image synthesis",
        "Dhariwal, Prafulla and Nichol, Alexander",
        arxiv="2105.05233",
    ),
    Paper(
        "Dieleman et al. 2022",
        "Continuous diffusion for categorical data",
        "Dieleman, Sander and Sartran, Laurent and Roshannai, Arman and Savinov, Nikolay and Ganin, Yaroslav and "
        "Richemond, Pierre H. and Doucet, Arnaud and Strudel, Robin and Dyer, Chris and Durkan, Conor and "
        "Hawthorne, Curtis and Leblond, R{\\'e}mi and Grathwohl, Will and Adler, Jonas",
        arxiv="2211.15089",
    ),
    Paper(
        "Dosovitskiy et al. 2021",
        "An image is worth 16x16 words: transformers for image recognition at scale",
        "Dosovitskiy, Alexey and Beyer, Lucas and Kolesnikov, Alexander and Weissenborn, Dirk and Zhai, Xiaohua and "
        "Unterthiner, Thomas and Dehghani, Mostafa and Minderer, Matthias and Heigold, Georg and Gelly, Sylvain and "
        "Uszkoreit, Jakob and Houlsby, Neil",
        arxiv="2010.11929",
    ),
    Paper(
        "Fedus et al. 2021",
        "Switch Transformers: scaling to trillion parameter models with simple and efficient sparsity",
        "Fedus, William and Zoph, Barret and Shazeer, Noam",
        arxiv="2101.03961",
    ),
    Paper(
        "Gal et al. 2022",
        "An image is worth one word: personalizing text-to-image generation using textual inversion",
        "Gal, Rinon and Alaluf, Yuval and Atzmon, Yuval and Patashnik, Or and Bermano, Amit H. and Chechik, Gal and "
        "Cohen-Or, Daniel",
        arxiv="2208.01618",
    ),
    Paper(
        "Hanu and Unitary team 2020",
        "Detoxify",
        "Hanu, Laura and {Unitary team}",
        "https://github.com/unitaryai/detoxify",
    ),
    Paper(
        "Ho and Salimans 2022",
        "Classifier-free diffusion guidance",
        "Ho, Jonathan and Salimans, Tim",
        arxiv="2207.12598",
    ),
    Paper(
        "Ho et al. 2020",
        "Denoising diffusion probabilistic models",
        "Ho, Jonathan and Jain, Ajay and Abbeel, Pieter",
        arxiv="2006.11239",
    ),
    Paper(
        "Jaegle et al. 2021",
        "Perceiver IO: a general architecture for structured inputs and outputs",
        "Jaegle, Andrew and Borgeaud, Sebastian and Alayrac, Jean-Baptiste and Doersch, Carl and Ionescu, Catalin and "
        "Ding, David and Koppula, Skanda and Zoran, Daniel and Brock, Andrew and Shelhamer, Evan and "
        "H{\\'e}naff, Olivier and Botvinick, Matthew M. and Zisserman, Andrew and Vinyals, Oriol and Carreira, Jo{\\~a}o",
        arxiv="2107.14795",
    ),
    Paper(
        "Karras et al. 2022",
        "Elucidating the design space of diffusion-based generative models",
        "Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli",
        arxiv="2206.00364",
    ),
    Paper(
        "Kingma et al. 2021",
        "Variational diffusion models",
        "Kingma, Diederik P. and Salimans, Tim and Poole, Ben and Ho, Jonathan",
        arxiv="2107.00630",
    ),
    Paper(
        "Li et al. 2022",
        "Diffusion-LM improves controllable text generation",
        "Li, Xiang Lisa and Thickstun, John and Gulrajani, Ishaan and Liang, Percy and Hashimoto, Tatsunori B.",
        arxiv="2205.14217",
    ),
    Paper(
        "Lu et al. 2022",
        "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models",
        "Lu, Cheng and Zhou, Yuhao and Bao, Fan and Chen, Jianfei and Li, Chongxuan and Zhu, Jun",
        arxiv="2211.01095",
    ),
    Paper("Luhn 1960", "Computer for verifying numbers", "Luhn, Hans Peter", "US patent 2,950,048"),
    Paper(
        "Nichol and Dhariwal 2021",
        "Improved denoising diffusion probabilistic models",
        "Nichol, Alexander Quinn and Dhariwal, Prafulla",
        arxiv="2102.09672",
    ),
    Paper(
        "Nivre et al. 2020",
        "Universal Dependencies v2: an evergrowing multilingual treebank collection",
        "Nivre, Joakim and de Marneffe, Marie-Catherine and Ginter, Filip and Haji{\\v{c}}, Jan and "
        "Manning, Christopher D. and Pyysalo, Sampo and Schuster, Sebastian and Tyers, Francis and Zeman, Daniel",
        arxiv="2004.10643",
    ),
    Paper(
        "Peebles and Xie 2023",
        "Scalable diffusion models with transformers",
        "Peebles, William and Xie, Saining",
        arxiv="2212.09748",
    ),
    Paper(
        "Press et al. 2022",
        "Train short, test long: attention with linear biases enables input length extrapolation",
        "Press, Ofir and Smith, Noah A. and Lewis, Mike",
        arxiv="2108.12409",
    ),
    Paper(
        "Rabin and Scott 1959",
        "Finite automata and their decision problems",
        "Rabin, M. O. and Scott, D.",
        "IBM Journal of Research and Development 3(2)",
    ),
    Paper(
        "Sahoo et al. 2024",
        "Simple and effective masked diffusion language models",
        "Sahoo, Subham Sekhar and Arriola, Marianne and Schiff, Yair and Gokaslan, Aaron and Marroquin, Edgar and "
        "Chiu, Justin T. and Rush, Alexander and Kuleshov, Volodymyr",
        "",
        "2406.07524",
    ),
    Paper(
        "Shazeer et al. 2017",
        "Outrageously large neural networks: the sparsely-gated mixture-of-experts layer",
        "Shazeer, Noam and Mirhoseini, Azalia and Maziarz, Krzysztof and Davis, Andy and Le, Quoc and Hinton, Geoffrey "
        "and Dean, Jeff",
        arxiv="1701.06538",
    ),
    Paper(
        "Singhal et al. 2025",
        "A general framework for inference-time scaling and steering of diffusion models",
        "Singhal, Raghav and Horvitz, Zachary and Teehan, Ryan and Ren, Mengye and Yu, Zhou and McKeown, Kathleen and "
        "Ranganath, Rajesh",
        arxiv="2501.06848",
    ),
    Paper(
        "Song et al. 2021",
        "Denoising diffusion implicit models",
        "Song, Jiaming and Meng, Chenlin and Ermon, Stefano",
        arxiv="2010.02502",
    ),
    Paper(
        "Su et al. 2021",
        "RoFormer: enhanced transformer with rotary position embedding",
        "Su, Jianlin and Lu, Yu and Pan, Shengfeng and Murtadha, Ahmed and Wen, Bo and Liu, Yunfeng",
        arxiv="2104.09864",
    ),
    Paper(
        "Viterbi 1967",
        "Error bounds for convolutional codes and an asymptotically optimum decoding algorithm",
        "Viterbi, Andrew J.",
        "IEEE Transactions on Information Theory 13(2)",
    ),
    Paper(
        "Von Platen et al. 2022",
        "Diffusers: state-of-the-art diffusion models",
        "von Platen, Patrick and Patil, Suraj and Lozhkov, Anton and Cuenca, Pedro and Lambert, Nathan and "
        "Rasul, Kashif and Davaadorj, Mishig and Wolf, Thomas",
        "https://github.com/huggingface/diffusers",
    ),
)


def bibtex(references: Iterable[str]) -> str:
    """BibTeX of this library and of all that ``references`` name, each once, in their order.

    Args:
        references: as in the attribute ``reference`` of a plugin; one that begins with "@" is BibTeX already.
    """
    own = {"title": f"{{{TITLE}}}", "author": "{The diffusionlm contributors}", "version": diffusionlm.__version__}
    entries = [_entry("software", "diffusionlm", own)]
    for reference in references:
        entries += entries_of(reference)
    return "\n\n".join(dict.fromkeys(entries)) + "\n"


def entries_of(reference: str) -> list[str]:
    """The BibTeX entries of one reference. What is not in `PAPERS` is quoted as it stands, so nothing is left out."""
    if reference.lstrip().startswith("@"):
        return [reference.strip()]
    found = []
    for number, part in enumerate(part.strip() for part in reference.split(";")):
        head = re.match(r"(.*?\b(?:1[89]|20)\d\d)(?:, *(.*))?$", part, re.DOTALL)
        if not part or (head is None and number):
            continue  # a remark on the one before
        short, title = (head[1], head[2] or "") if head else (part, "")
        paper = next((paper for paper in PAPERS if _is(paper, short, title)), None)
        found.append(_entry("misc", _key(short, title), {"note": part}) if paper is None else paper.bibtex())
    return found


def _is(paper: Paper, short: str, title: str) -> bool:
    """Authors and year agree, and so do the first words of the title; "et al." alone is no name of a paper."""
    given, own = _words(title), _words(paper.title)
    same = given[:3] == own[: min(3, len(given))] if given else "et al." not in short
    return paper.short.casefold() == short.casefold() and same


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _key(short: str, title: str) -> str:
    names = re.sub(r"\W", "", (re.sub(r"^(von|van|de) ", "", short.casefold()).split() or ["reference"])[0])
    year = re.search(r"\d{4}$", short)
    return names + (year[0] if year else "") + "".join(_words(title)[:1])


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    inner = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{key},\n{inner}}}"
