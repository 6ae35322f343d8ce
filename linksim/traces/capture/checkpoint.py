"""Opening a local Gemma checkpoint directory."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from linksim.errors import LinksimError
from linksim.traces.capture.geometry import Geometry

ARCHITECTURES = ("GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM")
"""Architectures whose layers the hooks know."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint directory whose configuration has been read, but not its weights."""

    path: Path
    architecture: str
    geometry: Geometry
    training: dict[str, str | int | float | bool]
    """Scalar facts of its `training.json`; empty if it has none."""

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Read the configuration in directory *path*; LinksimError names file and field."""
        document = _read_json(path / "config.json")
        named = document.get("architectures")
        known = [name for name in ARCHITECTURES if named == [name]]
        if not known:
            raise LinksimError(
                f"{path / 'config.json'}: architectures: {named!r} is not supported: "
                f"expected one of {', '.join(ARCHITECTURES)}"
            )
        try:
            config = _model_class(known[0]).config_class.from_pretrained(path)
            geometry = Geometry.of_config(config)
        except Exception as error:
            raise LinksimError(
                f"{path / 'config.json'}: not a {known[0]} configuration: {_first_line(error)}"
            ) from None
        return cls(path, known[0], geometry, _training_facts(path / "training.json"))

    def load(self) -> Any:
        """The model in bfloat16 on the CPU; LinksimError unless every weight is there.

        Only safetensors are read: other weight files would run code when loaded.
        """
        logging: Any = transformers.utils.logging
        logging.disable_progress_bar()
        try:
            model, report = _model_class(self.architecture).from_pretrained(
                self.path,
                dtype=torch.bfloat16,
                local_files_only=True,
                use_safetensors=True,
                attn_implementation="eager",
                output_loading_info=True,
            )
        except Exception as error:
            raise LinksimError(
                f"{self.path}: weights cannot be loaded: {_first_line(error)}"
            ) from None
        missing = sorted(report["missing_keys"])
        if missing:
            raise LinksimError(
                f"{self.path}: weights: {missing[0]!r} is missing ({len(missing)} in all)"
            )
        return model


def _model_class(architecture: str) -> Any:
    return getattr(transformers, architecture)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LinksimError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise LinksimError(f"{path}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise LinksimError(f"{path}: expected a JSON object")
    return document


def _training_facts(path: Path) -> dict[str, str | int | float | bool]:
    if not path.exists():
        return {}
    return {
        key: value
        for key, value in _read_json(path).items()
        if isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
    }


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
