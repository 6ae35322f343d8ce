"""linksim: does compressing what crosses a link pay?

Tensors are replayed *with their values* over modelled die-to-die and GPU links: every compressed
size is exact, every delay names its evidence. `docs/architecture.md` draws the floors.
"""

__version__ = "0.1.0"
