"""Link models and the presets they load."""

from linksim.links.link import FlitFormat, LineCode, LinkPreset, link_names, link_preset

__all__ = ["FlitFormat", "LineCode", "LinkPreset", "link_names", "link_preset"]
