"""Links and file names in the pages lead somewhere; `make site` checks anchors within docs/ as the site makes them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *ROOT.glob("plugins/*/README.md")])
SITE = sorted(page for page in DOCS.glob("**/*.md") if page.parent.name != "generate")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:esper_core|plugins|docs|benchmarks)/[\w./-]+)`")


def prose(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as git hosts name them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_files_exist(page: Path) -> None:
    # What lies in generate/ becomes part of a page of docs/.
    folder = DOCS if page.parent.name == "generate" else page.parent
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (folder / target).resolve() if target else page
        assert path.exists(), link
        assert page not in SITE or path.is_relative_to(DOCS), f"{link} leads out of the site"
        assert not anchor or anchor in anchors(path), link
    for file in FILE.findall(prose(page)):
        assert (ROOT / file).exists(), file


def test_every_page_stands_in_the_navigation_once() -> None:
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    found = re.findall(r"'([\w./-]+\.md)'", str(navigation))
    assert sorted(found) == sorted(str(page.relative_to(DOCS)) for page in SITE)
