"""Guidance of one call: composition of plugins, the session of a batch, trust region, conflicts, trace."""
