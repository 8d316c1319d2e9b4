"""Rendered films with known gaze, camera and heads: what the whole chain adds to a network's error, and its time.

    OMP_NUM_THREADS=1 python tools/bench/bench_faces.py --model gazenas-fast-64-18m [--films 6] [--frames 40]

The error of the whole chain (finder, pose, patch, network, back into the camera's frame) stands beside the error of the
same network on the patch by the true pose. Time is of a 1280 x 720 frame with one face on one thread,
beside the mesh network's own, in processor time, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from gazenas.data.arrays import Floats
from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.normalization.geometry import Camera, Target, view_face
from gazenas.data.normalization.patch import warp_image
from gazenas.data.synthetic.head import HeadShape, build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.photography import Sitter, Truth, photograph, truth_of
from gazenas.data.synthetic.renderers import RENDERERS
from gazenas.data.synthetic.scene import Scene, sample_scene
from gazenas.faces.confidence import ask_with_confidence
from gazenas.faces.frame import Frame
from gazenas.faces.mediapipe import MediapipeFinder
from gazenas.faces.networks import Mesh
from gazenas.faces.predictor import FaceGaze, GazePredictor
from gazenas.faces.screen import Look, errors_mm, guess_screen, held_out_errors, middle_errors, solve_screen
from gazenas.gaze import angular_error

SCREEN, PIXELS = (531.0, 299.0), (1920, 1080)  # of the desk's screen: mm, pixels
SIZES = ((640, 480), (1280, 720))
FRONT = np.radians(25.0)  # of a head, from the front
Film = list[tuple[NDArray[np.uint8], list[Truth], list[Sitter]]]


def film(seed: int, frames: int, renderer: int) -> tuple[Film, Camera]:
    """People who move, turn and look about; one of them is away in the middle of the film."""
    rng = np.random.default_rng(seed)
    width, height = SIZES[seed % len(SIZES)]
    camera, count = assume_camera(width, height), 1 + seed % 3
    draws = RENDERERS[renderer]
    heads = [draws.build_head(draws.sample_person(rng)) for _ in range(count)]
    begins, ends = ([draws.sample_scene(rng) for _ in range(count)] for _ in range(2))
    wide = rng.uniform(60, 300 if count == 1 else 150, count)  # pixels across a face of 150 mm
    depth = camera.matrix[0, 0] * 150 / wide
    across = (np.arange(count) - (count - 1) / 2) * width / count
    shots: Film = []
    for number in range(frames):
        share = number / max(1, frames - 1)
        sitters = []
        for index, head in enumerate(heads):
            if index == count - 1 and 0.4 < share < 0.6:
                continue
            x = across[index] + 0.05 * width * np.sin(6 * share + index)
            y = 0.06 * height * np.cos(5 * share + index)
            center = np.array([x / camera.matrix[0, 0], y / camera.matrix[0, 0], 1]) * depth[index]
            sitters.append(Sitter(head, _between(begins[index], ends[index], share), center, 0.15 * np.sin(4 * share)))
        photo, truths = photograph(sitters, camera, width, height)
        shots.append((photo, truths, sitters))
    return shots, camera


def _between(first: Scene, last: Scene, share: float) -> Scene:
    pose = (1 - share) * np.array(first.head_pose) + share * np.array(last.head_pose)
    target = (1 - share) * first.target + share * last.target
    return replace(first, head_pose=(float(pose[0]), float(pose[1])), target=target)


def matched(answers: list[FaceGaze], truths: list[Truth], camera: Camera) -> Iterator[tuple[int, FaceGaze]]:
    """Truths with the face that is nearest in the photo, within half of its width."""
    for index, truth in enumerate(truths):
        middle = camera.project(truth.view.center[None])[0]
        near = [
            (float(np.linalg.norm(camera.project(answer.gaze.view.center[None])[0] - middle)), answer)
            for answer in answers
            if answer.gaze is not None
        ]
        if near:
            off, answer = min(near, key=lambda each: each[0])
            if off < 0.5 * float(answer.face.box[2]):
                yield index, answer


def measure(model: str, films: int, frames: int, renderer: int, average: str) -> None:
    """Prints errors."""
    rows: list[tuple[float, ...]] = []  # degrees from the front, given patch, whole chain, iris, confidence
    seen = there = jumps = false = 0
    for seed in range(films):
        shots, camera = film(seed, frames, renderer)
        predictor = GazePredictor(model, camera=camera, irises=True, average=average)
        size = predictor.estimator.input_size
        target, numbers = Target(size, 960 * size / 224, 600), dict[int, int]()
        stream = predictor.stream(Frame(photo, number, number / 30) for number, (photo, _, _) in enumerate(shots))
        for (photo, truths, sitters), answers in zip(shots, stream, strict=True):
            there += len(truths)
            found = list(matched(answers, truths, camera))
            false += len(answers) - len({id(answer) for _, answer in found})
            for index, answer in found:
                truth, gaze = truths[index], answer.gaze
                assert gaze is not None, "only those are matched"
                assert gaze.iris is not None, "irises were asked for"
                seen += 1
                jumps += numbers.get(index, answer.face.id) != answer.face.id
                numbers[index] = answer.face.id
                view = view_face(camera, truth.rotation, truth.view.center, target)
                given = view.to_camera(predictor.estimator(warp_image(photo, camera, view, target)[None])[0])
                second = gaze.view.to_camera(gaze.iris)
                errors = [float(angular_error(each, truth.direction)) for each in (given, gaze.direction, second)]
                pose = np.array(sitters[index].scene.head_pose)
                turned = float(np.arccos(np.cos(pose[0]) * np.cos(pose[1])))
                assert gaze.confidence is not None, "it was asked for"
                rows.append((turned, *errors, gaze.confidence))
    table = np.array(rows)
    print(f"{films} films of {frames} frames: {there} faces, found {seen}, others {false}, numbers changed {jumps}")
    for name, part in (("within 25 degrees of the front", table[:, 0] <= FRONT), ("beyond", table[:, 0] > FRONT)):
        if part.any():
            given, chain, iris = table[part, 1:4].mean(0)
            print(f"{name}: {part.sum()} faces, given patch {given:.2f}, whole chain {chain:.2f} degrees", end="")
            print(f" ({chain / given:.2f} times), iris geometry {iris:.2f}")
    by_confidence(table[:, 4], table[:, 2])


def by_confidence(confidence: Floats, errors: Floats) -> None:
    """Prints errors of the whole chain by fifths of confidence, the least sure first."""
    order = np.argsort(confidence, kind="stable")
    print(f"rank correlation of confidence and error: {spearmanr(confidence, errors).statistic:.2f}")
    for part in np.array_split(order, 5):
        off = errors[part]
        print(
            f"confidence {confidence[part].min():.2f} to {confidence[part].max():.2f}: {len(part)} faces, mean error "
            f"{off.mean():.2f}, median {np.median(off):.2f}, above 10 degrees {np.mean(off > 10):.0%}"
        )


def desk(model: str, people: int) -> None:
    """Prints how far from dots on a screen gazes meet it, in mm: as guessed, and solved without the dot."""
    camera = assume_camera(1280, 720)
    true = guess_screen(SCREEN, PIXELS, (20.0, 25.0, -10.0), float(np.radians(12)))
    guess = guess_screen(SCREEN, PIXELS, (0.0, 10.0, 0.0), 0.0)
    predictor = GazePredictor(model, camera=camera)
    table = []
    for person in range(people):
        rng = np.random.default_rng(person)
        head, looks = build_head(sample_person(rng)), []
        for dot in np.array([(x, y) for x in (96, 960, 1824) for y in (54, 540, 1026)] * 2, np.float64):
            pose = rng.uniform(-0.2, 0.2, 2)
            scene = replace(sample_scene(rng), head_pose=(float(pose[0]), float(pose[1])))
            center = np.array([*rng.normal(0, 30, 2), rng.normal(600, 40)])
            turned = truth_of(Sitter(head, scene, center), camera).rotation
            scene = replace(scene, target=turned.T @ (true.screen.target(dot) - center))
            photo, _ = photograph([Sitter(head, scene, center)], camera, 1280, 720)
            for answer in predictor.image(photo)[:1]:
                if answer.gaze is not None:
                    view = answer.gaze.view
                    looks.append(Look(view.center, view.rotation, answer.gaze.angles, dot))
        solved = solve_screen(guess, looks)
        corner = float(np.linalg.norm(solved.screen.translation - true.screen.translation))
        apart = np.trace(solved.screen.rotation.T @ true.screen.rotation)
        turn = float(np.rad2deg(np.arccos(np.clip((apart - 1) / 2, -1, 1))))
        errors = (errors_mm(guess, looks), held_out_errors(guess, looks), errors_mm(true, looks))
        means = [float(np.mean(each[np.isfinite(each)])) for each in (*errors, middle_errors(guess, looks))]
        table.append([len(looks), *means, corner, turn])
        print(f"person {person}: {len(looks)} looks, " + words_of(table[-1][1:]))
    print(f"{people} people: " + words_of(np.mean(table, 0)[1:]))


def words_of(numbers: Sequence[float] | NDArray[np.floating[Any]]) -> str:
    """Means in mm, and how far the solved screen is from the true one."""
    guessed, left_out, known, middle, corner, turn = numbers
    return (
        f"as guessed {guessed:.0f} mm, solved {left_out:.0f} on dots left out, by the true screen {known:.0f}, always "
        f"the middle {middle:.0f}; solved screen: corner {corner:.0f} mm off, turned {turn:.1f} degrees off"
    )


def clock(model: str, rounds: int) -> None:
    """Prints milliseconds of a 1280 x 720 frame with one face: everything in turns, so that drift hits all alike."""
    rng = np.random.default_rng(0)
    camera = assume_camera(1280, 720)
    scene = replace(sample_scene(rng), head_pose=(0.0, 0.1))
    head: HeadShape = build_head(sample_person(rng))
    photo, _ = photograph([Sitter(head, scene, np.array([50.0, 20, 700]))], camera, 1280, 720)
    finder = MediapipeFinder()
    predictor = GazePredictor(model, finder=finder, camera=camera)
    (face,) = finder(photo, [])
    (placed,) = (predictor._place(Frame(photo), camera, each) for each in [face])
    mesh: Any = finder._mesh
    square = np.zeros((192, 192, 3), np.uint8)
    works: dict[str, Callable[[], object]] = {
        "mesh network alone": lambda: mesh._network(square),
        "find, followed": lambda: finder(photo, [face]),
        "find, detected": lambda: finder(photo, []),
        "pose and patch": lambda: predictor._place(Frame(photo), camera, face),
        "gaze network": lambda: predictor.estimator(placed.patch[None]),
        "gaze network with confidence": lambda: ask_with_confidence(predictor.estimator, placed.patch[None]),
        "whole, followed": lambda: predictor._gaze(Frame(photo), finder(photo, [face])),
        "whole, detected": lambda: predictor.image(photo),
    }
    assert isinstance(mesh, Mesh), "the finder's own"
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            begun = time.process_time()
            work()
            times[name].append(1000 * (time.process_time() - begun))
    alone = min(times["mesh network alone"])
    for name, values in times.items():
        least, median = min(values), float(np.median(values))
        print(f"{name}: least {least:.2f} ms, {least / alone:.1f} times the mesh network's; median {median:.2f} ms")


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--films", type=int, default=6)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--renderer", type=int, default=1, help="of the people in films")
    parser.add_argument("--average", default="none", help="of the questions about films, as 'predict' has it")
    parser.add_argument("--rounds", type=int, default=60, help="of the clock; 0 leaves it out")
    parser.add_argument("--people", type=int, default=0, help="at a desk, who look at nine dots twice; 0 leaves it out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.rounds:
        clock(arguments.model, arguments.rounds)
    if arguments.films:
        measure(arguments.model, arguments.films, arguments.frames, arguments.renderer, arguments.average)
    if arguments.people:
        desk(arguments.model, arguments.people)


if __name__ == "__main__":
    main()
