"""The guestbook corpus: invented comments of guests, civil and rude, with and without invented personal data.

A grammar of our own (`grammar`, `scene`, `surface`; the other modules hold its patterns and words, one subject each)
and Faker's personal data (extra ``corpora``). ``diffusionlm corpus guestbook`` writes it.
"""

from diffusionlm.corpora.guestbook.corpus import write_corpus

__all__ = ["write_corpus"]
