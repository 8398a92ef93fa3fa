"""Solvers of the Gaussian process, one a file, and any scheduler of diffusers behind their contract."""
