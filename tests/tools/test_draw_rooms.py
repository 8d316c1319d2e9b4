"""The drawing of the rooms: what it shows is what the imports are."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tools.draw_rooms import PICTURE, ROOT, draw, heights, modules_of, needed, picture, rooms_of

DIAMOND = {"roof": {"left", "right", "floor"}, "left": {"floor"}, "right": {"floor"}, "floor": set()}


def test_the_picture_is_of_the_imports() -> None:
    assert picture() == PICTURE.read_text(encoding="utf-8"), "python tools/draw_rooms.py draws it anew"


def test_every_room_is_drawn() -> None:
    texts = [each.text for each in ElementTree.fromstring(picture()).iter("{http://www.w3.org/2000/svg}text")]
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} <= set(texts)


def test_heights_and_what_is_needed() -> None:
    assert heights(DIAMOND) == {"floor": 0, "left": 1, "right": 1, "roof": 2}
    assert needed(DIAMOND) == DIAMOND | {"roof": {"left", "right"}}
    with pytest.raises(ValueError, match=r"in a circle or above one: \['a', 'b', 'c'\]"):
        heights({"a": {"b"}, "b": {"a"}, "c": {"b"}, "d": set()})


def test_arrows_go_down_and_round_boxes() -> None:
    """A long arrow has a point in every row that it passes; boxes of a row have gaps."""
    edges = {"top": {"middle", "aside"}, "middle": {"floor"}, "aside": set(), "floor": set()}
    tree = ElementTree.fromstring(draw(edges, dict.fromkeys(edges, "a <text> & more")))
    lines = [each.attrib["points"].split() for each in tree.iter("{http://www.w3.org/2000/svg}polyline")]
    assert sorted(map(len, lines)) == [2, 2, 4]
    for points in lines:
        heights_of = [float(point.split(",")[1]) for point in points]
        assert heights_of == sorted(heights_of)


def test_imports_of_every_kind_are_seen() -> None:
    rooms = rooms_of(modules_of(ROOT))
    assert "errors" in rooms["files"]
    assert "commands" in rooms["__main__"]  # by name
    assert "torch" not in rooms
