"""Weighted automata: chains of words whose tokens have weights, such as those of a part of speech."""
