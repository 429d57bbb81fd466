"""Every relative link in the Markdown files leads somewhere, to the very heading that it names."""

import re
from pathlib import Path

import pytest

from docs.generate.pages import ROOT

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def anchors(page: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    dead = []
    for found in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        link = found[0] or found[1]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not dead_links(page)


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading, `coded`\n", encoding="utf-8")
    page = tmp_path / "page.md"
    links = ["there.md", "there.md#a-heading-coded", "there.md#another", "gone.md", "https://example.org", "#here"]
    page.write_text("# Here\n\n" + " ".join(f"[x]({link})" for link in links), encoding="utf-8")
    assert dead_links(page) == ["there.md#another", "gone.md"]
