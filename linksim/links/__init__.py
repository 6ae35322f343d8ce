"""Link models: families of presets, and the immutable record of one link."""

from linksim.links.family import LinkFamily, Variant
from linksim.links.figures import FlitFormat, LineCode, Retry
from linksim.links.library import link_families, link_names, link_preset, names_a_file
from linksim.links.link import LinkPreset

__all__ = [
    "FlitFormat",
    "LineCode",
    "LinkFamily",
    "LinkPreset",
    "Retry",
    "Variant",
    "link_families",
    "link_names",
    "link_preset",
    "names_a_file",
]
