"""The Markdown pages of docs/, and the parts of them that tests read."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def pages() -> list[Path]:
    """All pages of docs/, and the README where there is one."""
    readme = ROOT / "README.md"
    return [*sorted(DOCS.rglob("*.md")), *([readme] if readme.is_file() else [])]


def text(name: str) -> str:
    """The page docs/*name*."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(markdown: str) -> list[tuple[str, str]]:
    """(language, body) of every fenced block that names a language, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)


def section(markdown: str, heading: str) -> str:
    """What stands under the line *heading*, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(
        rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{level}}} |\Z)", markdown, re.MULTILINE | re.DOTALL
    )
    assert found, f"no heading {heading!r}"
    return found[1]


def rows(markdown: str) -> dict[str, list[str]]:
    """The cells behind the first one of all table rows, by the first one, without backticks."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): others for first, *others in cells}


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", markdown, re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {slug.replace(" ", "-") for slug in slugs}


def written_files(markdown: str, language: str) -> dict[str, str]:
    """Blocks of *language* by the file that their first line names, continuations appended."""
    files: dict[str, str] = {}
    for found, body in blocks(markdown):
        if found == language:
            name = body.partition("\n")[0].removeprefix("# ").removesuffix(", continued")
            files[name] = files.get(name, "") + body
    return files
