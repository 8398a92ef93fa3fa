"""The open-mix corpus: everyday sentences, stories, news comments, rude posts and their civil rewrites, as one kind of text.

Found texts of eight sources, cleaned (`cleaning`), cut into runs of whole sentences (`sentences`), labelled where their
sources label them (`sources`). ``diffusionlm corpus open-mix`` writes it.
"""

from diffusionlm.corpora.open_mix.corpus import write_corpus

__all__ = ["write_corpus"]
