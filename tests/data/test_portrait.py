"""The second renderer: people have the measures of people, the iris is where it is said to be, glances share a face;
and the first one keeps its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gazenas.data.readers import open_data
from gazenas.data.synthetic.generation import generate
from gazenas.data.synthetic.head import HeadShape
from gazenas.data.synthetic.landmarks import project_landmarks
from gazenas.data.synthetic.portrait.head import shape_head
from gazenas.data.synthetic.portrait.lids import opening_corners
from gazenas.data.synthetic.portrait.people import draw_person, vary_look
from gazenas.data.synthetic.portrait.rendering import render_all, render_light, render_portrait
from gazenas.data.synthetic.portrait.scenes import draw_scene, vary_eyes
from gazenas.data.synthetic.scene import iris_centers, project, to_camera
from gazenas.errors import InputError
from gazenas.files import read_json

FIRST = {  # by what is rendered, SHA-256 of everything in the first renderer's files
    "face": "258a990981a64d73",
    "screen": "20ed956a529b6800",
}
MANY = 60


def bare(seed: int) -> tuple[HeadShape, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return shape_head(replace(draw_person(rng), glasses=0.0)), rng


@pytest.mark.parametrize(("view", "sessions"), [("face", 0), ("screen", 2)])
def test_the_first_renderer_keeps_its_bytes(view: str, sessions: int, tmp_path: Path) -> None:
    generate(tmp_path, subjects=3, per_subject=8, size=48, seed=7, workers=1, view=view, sessions=sessions)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*.h5")):
        with h5py.File(path) as file:
            for key in sorted(file):
                values = file[key][()]
                digest.update(key.encode())
                digest.update(values.tobytes() if values.dtype != object else repr(values).encode())
    assert digest.hexdigest()[:16] == FIRST[view]


def test_people_have_the_measures_of_people() -> None:
    """Means of Farkas (1994), Dodgson (2004) and Ruefer (2005), and how far people are apart."""
    people = [draw_person(np.random.default_rng([3, number])) for number in range(300)]
    across = np.array([[2 * each.fissure, each.eye_spacing - 2 * each.fissure, each.eye_spacing] for each in people])
    assert np.abs(across.mean(0) - [30.5, 32.5, 63.3]).max() < 0.7
    assert (across.std(0) < [2.0, 5.0, 4.0]).all()
    assert (across.std(0) > [1.0, 2.0, 2.0]).all()
    irises = np.array([2 * each.iris_radius for each in people])
    assert abs(irises.mean() - 11.7) < 0.1
    covered = np.mean([each.upper_lid < each.iris_radius for each in people])
    assert covered > 0.9  # the upper lid hides the iris's edge


def test_eyes_lie_in_the_patch_where_those_of_photographs_do() -> None:
    """Against the mesh's points on five portraits that `gazenas predict` cut: mm from the middle."""
    at = []
    for number in range(MANY):
        rng = np.random.default_rng([4, number])
        head = shape_head(draw_person(rng))
        scene = replace(draw_scene(rng), head_pose=(0.0, 0.0), target=np.array([0, 0, -600.0]))
        corners = project(to_camera(opening_corners(head).reshape(4, 3), scene), 224)
        at.append(np.concatenate([corners, project_landmarks(head, scene, 224)[[48, 54]]]))
    found = (np.mean(at, 0) - 112) / 1.6
    portraits = np.array([[-46.3, -21.1], [-17.8, -20.0], [17.1, -19.8], [44.5, -20.9], [-31.5, 40.5], [30.9, 40.1]])
    assert np.abs(found - portraits).max() < 3.0


def test_projected_iris_center_is_the_rendered_centroid() -> None:
    seen = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        head = shape_head(replace(draw_person(rng), glasses=0.0, upper_lid=9.0, lower_lid=9.0))  # that hide nothing
        scene = replace(draw_scene(rng), head_pose=(0.1, 0.2), lid_opening=1.0, target=np.array([50.0, -30, -600]))
        share = render_light(head, scene, 224)[1]
        for center in project(iris_centers(head, scene), 224):
            left, top = np.rint(center - 14).astype(int)
            part = share[top : top + 28, left : left + 28]
            if part.sum() < 240:
                continue
            rows, columns = np.mgrid[top : top + 28, left : left + 28] + 0.5
            centroid = np.array([(part * columns).sum(), (part * rows).sum()]) / part.sum()
            assert np.abs(centroid - center).max() < 0.5
            seen += 1
    assert seen >= 8


def test_mirrored_scene_renders_to_the_mirrored_image() -> None:
    head, rng = bare(2)
    scene = draw_scene(rng)
    image, mirror = render_light(head, scene, 64)[0], render_light(head.mirrored(), scene.mirrored(), 64)[0]
    assert np.abs(image[:, ::-1] - mirror).mean() < 0.01 * image.mean()


def test_glances_are_what_each_scene_alone_shows() -> None:
    head, rng = bare(5)
    scene = draw_scene(rng)
    scenes = [scene, vary_eyes(scene, rng), vary_eyes(scene, rng)]
    together = render_all(head, scenes, 48)
    assert all(
        np.array_equal(render_portrait(head, each, 48), picture) for each, picture in zip(scenes, together, strict=True)
    )
    assert len({tuple(each.gaze) for each in scenes}) == 3
    assert not np.array_equal(together[0], together[1])


def test_looks_differ_and_the_person_stays() -> None:
    rng = np.random.default_rng(1)
    person = draw_person(rng)
    looks = [vary_look(person, rng) for _ in range(30)]
    assert len({each.glasses > 0 for each in looks}) == 2
    assert {(each.iris, each.fissure, each.kappa) for each in looks} == {(person.iris, person.fissure, person.kappa)}
    assert len({each.anatomy.mouth for each in looks if each.anatomy}) == 30


@pytest.mark.parametrize(("view", "sessions"), [("face", 0), ("screen", 3)])
def test_a_folder_says_how_it_was_rendered(view: str, sessions: int, tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for folder, workers in zip(folders, (1, 2), strict=True):
        generate(
            folder,
            subjects=3,
            per_subject=7,
            size=32,
            seed=1,
            workers=workers,
            view=view,
            sessions=sessions,
            renderer=2,
        )
    assert read_json(folders[0] / "dataset.json")["rendered"]["renderer"] == 2
    for path in folders[0].rglob("*.h5"):
        assert path.read_bytes() == (folders[1] / path.relative_to(folders[0])).read_bytes()
    split = open_data(folders[0]).split("train")
    assert split.gaze is not None
    assert np.isfinite(split.gaze).all()
    assert len(split) == 7
    with pytest.raises(InputError, match="--renderer: expected one of 1, 2"):
        generate(tmp_path / "three", subjects=3, per_subject=1, size=32, seed=1, workers=1, renderer=3)
    with pytest.raises(InputError, match="near-eye, found 2"):
        generate(tmp_path / "four", subjects=3, per_subject=1, size=32, seed=1, workers=1, view="near-eye", renderer=2)
