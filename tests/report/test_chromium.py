"""The page about runs in a real browser: wide and narrow, light and dark, on paper; nobody else is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from gazenas.__main__ import main
from tests.faces.chromium import Chromium, find_chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium"),
]

WIDTHS = (400, 1400)
PAPER, INK = "rgb(255, 255, 255)", "rgb(26, 32, 44)"
# What stands in a box that is narrower than itself and cannot be moved to it.
CUT = """[...document.querySelectorAll('body *:not(svg *)')].filter((each) => each.scrollWidth > each.clientWidth + 1
    && each.clientWidth && !['auto', 'scroll'].includes(getComputedStyle(each).overflowX))
    .map((each) => each.outerHTML)"""
BROKEN = "[...document.images].filter((each) => !each.complete || !each.naturalWidth).length"
UNBROKEN = """[...document.querySelectorAll('figure, img, tr')].every((each) =>
    getComputedStyle(each).breakInside == 'avoid')"""
SMALLEST = """Math.min(...[...document.querySelectorAll('svg')].map((each) => each.clientWidth / 640
    * parseFloat(getComputedStyle(each.querySelector('text')).fontSize)))"""


def color(of: str, property: str) -> str:
    return f"getComputedStyle(document.querySelector('{of}')).{property}"


@pytest.fixture
def page(found: Path, tuned: Path, tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    assert main(["report", str(found), str(tuned), "--out", str(path)]) == 0
    assert path.stat().st_size < 5e6
    return path


@pytest.fixture
def chromium(page: Path, tmp_path: Path) -> Iterator[Chromium]:
    """On the page, which asks nothing of anybody else all the while."""
    with Chromium(tmp_path / "profile") as chromium:
        chromium.call("Page.navigate", url=page.as_uri())
        chromium.wait_for("document.readyState == 'complete' && document.images.length > 0")
        yield chromium
        hosts = {each for each in chromium.requests if not each.startswith("data:")}
        assert hosts == {page.as_uri()}
        assert not chromium.console


def test_screens(chromium: Chromium, tmp_path: Path) -> None:
    papers = set()
    for width, dark in product(WIDTHS, (False, True)):
        chromium.show(width, 900, dark=dark)
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width
        assert chromium.evaluate(CUT) == []
        assert chromium.evaluate(BROKEN) == 0
        assert chromium.evaluate(SMALLEST) > 10  # pixels
        paper, ink = (chromium.evaluate(color("body", name)) for name in ("backgroundColor", "color"))
        assert (paper == PAPER) != dark
        assert (ink == INK) != dark
        chromium.picture(tmp_path / "screen.png")
        papers.add(Image.open(tmp_path / "screen.png").convert("RGB").getpixel((2, 2)))
    assert len(papers) == 2


def test_keys_reach_bars_and_what_is_wider_than_the_screen(chromium: Chromium) -> None:
    chromium.show(WIDTHS[0], 900)
    reached = "[...document.querySelectorAll('.bars tr, .scroll, summary')].every((each) => each.tabIndex == 0)"
    assert chromium.evaluate(reached)


def test_paper(chromium: Chromium, tmp_path: Path) -> None:
    """Dark on white whatever the screen has; nothing is cut, folded away or divided between two sheets."""
    chromium.show(700, 990, dark=True, media="print")  # an A4 sheet within its margins
    assert chromium.evaluate(color("body", "color")) == INK
    assert chromium.evaluate(color("body", "backgroundColor")) == PAPER
    assert chromium.evaluate(CUT) == []
    assert chromium.evaluate("[...document.querySelectorAll('.scroll')].every((each) => each.scrollWidth <= 700)")
    assert chromium.evaluate(UNBROKEN)
    assert chromium.evaluate("[...document.querySelectorAll('details td')].every((each) => each.checkVisibility())")
    chromium.show(WIDTHS[1], 900, dark=True)
    chromium.print(tmp_path / "page.pdf")
    data = (tmp_path / "page.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    sheets = len(re.findall(rb"/Type\s*/Page\b", data))
    assert 2 <= sheets <= 12
    if shutil.which("pdftoppm"):
        look_at_sheets(tmp_path, sheets)


def look_at_sheets(folder: Path, sheets: int) -> None:
    """White to the edges, and something on every sheet."""
    subprocess.run(["pdftoppm", "-r", "40", "-png", "page.pdf", "sheet"], cwd=folder, check=True)
    pictures = sorted(folder.glob("sheet*.png"))
    assert len(pictures) == sheets
    for path in pictures:
        picture = Image.open(path).convert("L")
        low, _ = picture.getextrema()
        assert low < 200
        assert picture.getpixel((2, picture.height // 2)) == 255
