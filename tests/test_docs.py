"""The pages of docs/: short lines, short pages, links that lead somewhere, and every page within reach of the index."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
MEASUREMENTS = sorted((DOCS / "comparisons").glob("*.md"))
MOST_CHARACTERS, MOST_WORDS = 120, 1500
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"\]\(([^()\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links_of(page: Path) -> list[tuple[Path, str]]:
    """The files that a page leads to, each with the heading after '#', pictures included."""
    targets = LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    inside = (target.partition("#") for target in targets if not re.match(r"[a-z]+:", target))
    return [((page.parent / path).resolve() if path else page, heading) for path, _, heading in inside]


def anchors_of(page: Path) -> set[str]:
    """The headings of a page, as Markdown renderers call them in addresses."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=name_of)
def test_lines_are_short_outside_tables(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if len(line) > MOST_CHARACTERS and not line.startswith("|")]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "api.md"], ids=name_of)
def test_pages_are_short(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").split()) <= MOST_WORDS


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    gone = [
        f"{path}#{heading}"
        for path, heading in links_of(page)
        if not path.exists() or (heading and heading not in anchors_of(path))
    ]
    assert not gone


def test_every_page_is_within_reach_of_the_index() -> None:
    reached, ahead = set(), {DOCS / "index.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead |= {path for path, _ in links_of(page) if path.suffix == ".md"} - reached
    assert not [name_of(page) for page in PAGES if page not in reached]


def test_every_picture_and_table_is_on_a_page() -> None:
    files = [path for ending in ("png", "svg", "csv") for path in DOCS.rglob(f"*.{ending}")]
    shown = {path for page in [*PAGES, ROOT / "README.md"] for path, _ in links_of(page)}
    assert files
    assert not [name_of(path) for path in files if path not in shown]


@pytest.mark.parametrize("page", MEASUREMENTS, ids=name_of)
def test_a_measurement_says_machine_date_and_command(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.search(r"^\| machine \| .+ \|$", text, re.M)
    assert re.search(r"^\| date \| .*20\d\d-\d\d-\d\d.* \|$", text, re.M)
    assert re.search(r"^## How it was measured$.*^```", text, re.M | re.S)


def test_pages_that_the_code_names_are_there() -> None:
    files = [path for ending in ("py", "yaml", "md", "html") for path in (ROOT / "gazenas").rglob(f"*.{ending}")]
    named = {
        (path, page) for path in files for page in re.findall(r"docs/[\w/]+\.md", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not [f"{name_of(path)}: {page}" for path, page in named if not (ROOT / page).exists()]
