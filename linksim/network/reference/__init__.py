"""The reference model of links and messages, readable, on SimPy."""
