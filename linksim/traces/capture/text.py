"""Cutting a text file into batches of tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers

from linksim.errors import LinksimError

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
_CHARACTERS_PER_TOKEN = 16
"""First guess of the text that yields one token; a slice that yields too few is widened."""


@dataclass(frozen=True)
class TokenizedText:
    """Slices of a text file as token numbers."""

    name: str
    """File name without folders."""
    sha256: str
    tokenizer: str
    """`bytes` or the tokenizer's class."""
    slices: tuple[torch.Tensor, ...]
    """One int64 [1, tokens] per slice."""


def tokenize(
    path: Path, checkpoint: Path, vocabulary: int, *, tokens: int, count: int
) -> TokenizedText:
    """*count* slices of *tokens* tokens each, spread evenly over the file *path*.

    The tokenizer is the checkpoint's own. A checkpoint without one and with a vocabulary of 256
    reads raw bytes. LinksimError if the text is too short or there is no tokenizer.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LinksimError(f"{path}: cannot be read: {error.strerror}") from None
    slices: list[list[int]]
    if any((checkpoint / file).exists() for file in _TOKENIZER_FILES):
        tokenizer = _load_tokenizer(checkpoint)
        kind = type(tokenizer).__name__
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise LinksimError(f"{path}: not UTF-8 text: {error}") from None
        slices = [_encode(tokenizer, part, tokens) for part in _parts(text, count)]
    elif vocabulary == 256:
        kind = "bytes"
        slices = [list(part[:tokens]) for part in _parts(data, count)]
    else:
        raise LinksimError(
            f"{checkpoint}: no tokenizer: expected one of {', '.join(_TOKENIZER_FILES)}, or a "
            f"vocabulary of 256 for raw bytes, not vocab_size {vocabulary}"
        )
    shortest = min(len(ids) for ids in slices)
    if shortest < tokens:
        raise LinksimError(
            f"{path}: text is too short: one of {count} even slices holds {shortest} tokens, "
            f"expected at least {tokens}"
        )
    digest = hashlib.sha256(data).hexdigest()
    return TokenizedText(path.name, digest, kind, tuple(torch.tensor([ids]) for ids in slices))


def _parts(text: Any, count: int) -> list[Any]:
    cuts = [len(text) * index // count for index in range(count + 1)]
    return [text[first:last] for first, last in pairwise(cuts)]


def _load_tokenizer(checkpoint: Path) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise LinksimError(f"{checkpoint}: tokenizer cannot be loaded: {reason[0]}") from None


def _encode(tokenizer: Any, text: str, tokens: int) -> list[int]:
    """The first *tokens* tokens of *text*, or all if there are fewer, without reading all of it."""
    width = tokens * _CHARACTERS_PER_TOKEN
    ids: list[int] = tokenizer(text[:width])["input_ids"]
    while len(ids) <= tokens and width < len(text):
        width *= 2
        ids = tokenizer(text[:width])["input_ids"]
    return ids[:tokens]
