"""The picture of an architecture, for every space there is: each width that was kept is written in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from gazenas.models.build import full_architecture
from gazenas.models.zoo import load_space, space_folder
from gazenas.report import architecture
from gazenas.report.architecture import draw_architecture, group_label
from gazenas.space.architecture import Architecture
from tests.running import thinned

FILES = sorted([*space_folder().glob("*.yaml"), *Path(__file__).parents[1].glob("*.yaml")])


def drawn(arch: Architecture, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], set[str]]:
    """Everything that is written beside the bars, and in the legend."""
    kept: list[Figure] = []
    monkeypatch.setattr(architecture, "save_figure", lambda figure, path: kept.append(figure))
    draw_architecture(arch, Path("nowhere.png"))
    (axes,) = kept[0].axes
    left, right = axes.get_xlim()
    inches = kept[0].get_figwidth() / (right - left)
    assert 1.05 < inches < 1.45, "a block is about as wide in every picture, however many there are"
    legend = axes.get_legend()
    words = {text.get_text() for text in legend.get_texts()} if legend else set()
    return Counter(text.get_text() for text in axes.texts), words


@pytest.mark.parametrize("share", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_width_is_written(file: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    space = load_space(file)
    arch, full = thinned(space, share), full_architecture(space)
    texts, legend = drawn(arch, monkeypatch)
    expected, groups = Counter[str](), set()
    for place, operators in arch.kept.items():
        counts = [(g, n, full.kept[place][o][g]) for o, kept in operators.items() for g, n in kept.items()]
        if any(n for _, n, _ in counts):  # else the box says that only the residual is left
            expected.update(f"{n}/{most}" for _, n, most in counts)
            groups |= {group_label(group) for group, _, _ in counts}
    assert Counter(
        {text: n for text, n in texts.items() if text[0].isdigit() and "/" in text and text[:2] != "1/"}
    ) == (Counter({text: n for text, n in expected.items() if text[:2] != "1/"}))
    assert legend == groups
    fixed = {name: width for name, width in space.streams().items() if name not in space.searched_streams()}
    assert all(texts[str(width)] for width in fixed.values())
    read = [text for text in texts if text.startswith("reads")]
    assert read == ([f"reads\n{space.size_at(1)[0]}x{space.size_at(1)[1]}"] if space.window else [])
    assert sum(text == "residual\nonly" for text in texts.elements()) == sum(
        bool(spec.operators) and not any(n for kept in arch.kept[spec.name].values() for n in kept.values())
        for spec in space.blocks()
    )


@pytest.mark.pictures
def test_a_picture_is_a_file(tmp_path: Path) -> None:
    draw_architecture(thinned(load_space("gazenas_fast_tiny"), 0.5), tmp_path / "arch.png")
    assert (tmp_path / "arch.png").read_bytes().startswith(b"\x89PNG")
