"""Every tensor of a trace through a compiled core, compared bit for bit with the software."""
