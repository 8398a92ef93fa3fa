"""Training of noise-conditional classifiers on labelled texts."""
