"""Mixes of found texts as one kind of text: dialogues, everyday sentences, stories, comments, civil rewrites, invented data.

A recipe (`recipe`, files in ``configs/corpus``) says which sources there are and how each is written (`sources`); texts are
cleaned (`cleaning`), cut into runs of whole sentences (`sentences`) or turns (`dialogues`), and labelled where their sources
label them. ``diffusionlm corpus open-mix`` writes them.
"""

from diffusionlm.corpora.open_mix.corpus import write_corpus
from diffusionlm.corpora.open_mix.recipe import Recipe, Source, load_recipe

__all__ = ["Recipe", "Source", "load_recipe", "write_corpus"]
