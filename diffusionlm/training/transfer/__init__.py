"""Guides for one's own model without labelled data: what the package brings, moved to another vocabulary."""
