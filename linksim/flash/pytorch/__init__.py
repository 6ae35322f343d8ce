"""What needs PyTorch: the all-reduce across real processes, and a model whose sums are quantized.

Imported only where a command needs it.
"""

from linksim.errors import LinksimError

try:
    import torch  # noqa: F401
except ImportError:
    raise LinksimError("linksim flash needs PyTorch: pip install 'linksim[capture]'") from None
