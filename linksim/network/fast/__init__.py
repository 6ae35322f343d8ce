"""The fast engine: the reference model's times, compiled by numba."""
