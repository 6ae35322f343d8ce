"""Capturing a trace from a Hugging Face Gemma checkpoint; the only package that needs PyTorch."""

from linksim.errors import LinksimError

try:
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError:
    raise LinksimError(
        "capture needs PyTorch and transformers: pip install 'linksim[capture]'"
    ) from None

from linksim.traces.capture.run import capture
from linksim.traces.capture.settings import CaptureSettings

__all__ = ["CaptureSettings", "capture"]
