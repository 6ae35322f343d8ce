"""Benchmarks: speed as ratios to named peers in one run, and fuzzing at scale."""
