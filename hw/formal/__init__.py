"""Proofs about the cores with Yosys and an SMT solver: `python -m hw.formal`."""
