"""Counting of the tables that guidance of syntax reads, from treebanks and a tagger."""
