"""Studies: what the codecs make of many tensors, as tables and figures."""
