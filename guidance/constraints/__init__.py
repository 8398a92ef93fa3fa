"""Rules that always hold, and the exact inference of all rules of a call together."""
