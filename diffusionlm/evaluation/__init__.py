"""Figures of what a model writes: fluency, diversity, infilling, each beside real text."""
