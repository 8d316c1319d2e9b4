"""Opens everything in a data folder and says what is right, what is wrong and what cannot be told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gazenas.data.checks.evidence import Evidence, from_head, from_network, head_from_landmarks, redness
from gazenas.data.dataset import GazeFolder, GazeSplit, RowFault, join, plural, prove_disjoint
from gazenas.data.hdf5_layout import LANDMARKS
from gazenas.data.pictures import resized
from gazenas.data.readers.ethxgaze import XGazeFiles
from gazenas.errors import InputError

PASS, FAIL, WARN, UNDECIDED = "pass", "FAIL", "warn", "undecided"
SAMPLE = 600  # rows of which colors and conventions are judged
READ = 64  # rows at once


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    status: str
    text: str


@dataclass
class Pixels:
    """What one pass over all images leaves.

    ``digests`` by name of the image; ``rows``, ``faces`` and ``thumbnails`` of an even sample of the labeled rows.
    """

    digests: dict[str, bytes] = field(default_factory=dict)
    faults: list[RowFault] = field(default_factory=list)
    sample: GazeSplit | None = None
    faces: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 8, 8, 3), np.uint8))


def check_folder(
    opened: GazeFolder,
    answers: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    side: int,
    on_rows: Callable[[int], None] = lambda count: None,
) -> tuple[list[Finding], Pixels]:
    """Every check on a folder that a reader could open.

    Args:
        opened: what the reader gave.
        answers: a network's gaze for ``(n, side, side, 3)`` RGB images.
        side: size of images that it takes.
        on_rows: called with the number of rows that are done.
    """
    pixels = read_everything(opened, on_rows)
    findings = [
        Finding("layout", PASS, _describe(opened)),
        _rows(opened, pixels),
        _angles(opened),
        _duplicates(opened, pixels),
        _people(opened),
        _layout_for_reading(opened),
    ]
    if pixels.sample is None:
        return findings, pixels
    findings.append(_colors(pixels))
    if pixels.sample.gaze is not None:
        faces = np.stack([resized(Image.fromarray(face), side) for face in pixels.faces])
        findings += _convention(opened, pixels.sample, answers(faces))
    return findings, pixels


def read_everything(opened: GazeFolder, on_rows: Callable[[int], None]) -> Pixels:
    """Reads all images once; rows that cannot be read become faults."""
    pixels = Pixels()
    for split in opened.splits.values():
        for rows in np.array_split(np.arange(len(split)), max(1, len(split) // READ)):
            for row, image in _images(split, rows, pixels.faults):
                pixels.digests[f"{split.name}/{split.images.name(row)}"] = hashlib.sha1(image.tobytes()).digest()
            on_rows(len(rows))
    labeled = [split for split in opened.splits.values() if split.gaze is not None and len(split)]
    chosen = labeled or [split for split in opened.splits.values() if len(split)]
    pool = join("sample", chosen)
    rows = np.unique(np.linspace(0, len(pool) - 1, SAMPLE).round().astype(np.int64))
    found = list(_images(pool, rows, []))
    if found:
        pixels.sample = pool.at(np.array([row for row, _ in found]))
        pixels.faces = np.stack([image for _, image in found])
    return pixels


def _images(
    split: GazeSplit, rows: NDArray[np.int64], faults: list[RowFault]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Rows with their images; one by one where together they cannot be read."""
    try:
        yield from zip(rows.tolist(), split.images(rows), strict=True)
        return
    except InputError:
        pass
    for row in rows.tolist():
        try:
            yield row, split.images(np.array([row]))[0]
        except InputError as error:
            faults.append(RowFault(split.images.name(row), str(error)))


def _describe(opened: GazeFolder) -> str:
    count = sum(len(split) for split in opened.splits.values())
    parts = ", ".join(f"{name} {len(split):,}" for name, split in list(opened.splits.items())[:6])
    return f"{opened.dataset}: {count:,} images of {opened.size} pixels, frame {opened.frame}; {parts}"


def _rows(opened: GazeFolder, pixels: Pixels) -> Finding:
    faults = [*opened.faults, *pixels.faults]
    if not faults:
        return Finding("rows", PASS, f"all {len(pixels.digests):,} images can be read, every row has its labels")
    shown = "; ".join(f"{fault.where}: {fault.reason}" for fault in faults[:3])
    return Finding("rows", FAIL, f"{len(faults)} rows cannot be used: {shown}")


def _angles(opened: GazeFolder) -> Finding:
    parts = [split.gaze for split in opened.splits.values() if split.gaze is not None and len(split)]
    if not parts:
        return Finding("angles", UNDECIDED, "no part has gaze")
    gaze = np.concatenate(parts)
    low, high = np.rad2deg(gaze.min(0)), np.rad2deg(gaze.max(0))
    text = f"pitch {low[0]:.1f} to {high[0]:.1f}, yaw {low[1]:.1f} to {high[1]:.1f} degrees"
    if np.abs(gaze[:, 0]).max() > np.pi / 2 + 1e-3:
        return Finding(
            "angles", FAIL, f"{text}: pitch beyond a right angle; degrees taken for radians, or yaw for pitch?"
        )
    if np.percentile(np.abs(gaze), 99) < np.deg2rad(2):
        return Finding("angles", FAIL, f"{text}: hardly any gaze at all; radians taken for degrees?")
    if (gaze.std(0) < 1e-6).any():
        return Finding("angles", FAIL, f"{text}: an angle is the same in every row")
    return Finding("angles", PASS, text)


def _duplicates(opened: GazeFolder, pixels: Pixels) -> Finding:
    first: dict[bytes, tuple[str, str]] = {}
    twice: list[str] = []
    of_two_people: list[str] = []
    for split in opened.splits.values():
        for row in range(len(split)):
            name, person = f"{split.name}/{split.images.name(row)}", split.people[split.person[row]]
            digest = pixels.digests.get(name)
            if digest is None:
                continue
            if digest in first:
                pair = f"{first[digest][0]} and {name}"
                (of_two_people if first[digest][1] != person else twice).append(pair)
            else:
                first[digest] = (name, person)
    total = sum(len(split) for split in opened.splits.values()) - len(pixels.faults)
    if of_two_people:
        return Finding(
            "duplicates", FAIL, f"{len(of_two_people)} images belong to two {plural(opened.group)}: {of_two_people[0]}"
        )
    if twice or total > len(pixels.digests):
        many = len(twice) + total - len(pixels.digests)
        return Finding(
            "duplicates", WARN, f"{many} images occur twice, such as {twice[0] if twice else 'rows of one name'}"
        )
    return Finding("duplicates", PASS, "no image occurs twice")


def _people(opened: GazeFolder) -> Finding:
    split = {name: part.people for name, part in opened.splits.items()}
    sides = {name: people for name, people in split.items() if name in ("train", "val", "valid", "test")}
    try:
        prove_disjoint(sides or opened.parts, str(opened.folder), opened.group)
    except InputError as error:
        return Finding("people", FAIL, str(error))
    count = len({person for people in split.values() for person in people})
    alone = "" if opened.group == "person" else "; the data set names recordings, not people"
    return Finding(
        "people",
        PASS,
        f"{count} {plural(opened.group)}, none in two of {', '.join(sides or list(opened.parts)[:6])}{alone}",
    )


def _layout_for_reading(opened: GazeFolder) -> Finding:
    readers = [split.images for split in opened.splits.values() if isinstance(split.images, XGazeFiles)]
    if not readers:
        return Finding("reading", PASS, "one file an image; 'gazenas data prepare' makes files that read faster")
    rows = max(split.block for split in opened.splits.values())
    if rows == 1:
        return Finding("reading", PASS, "every image can be read alone: any order is fast")
    return Finding("reading", WARN, f"{rows} images are decoded together: the loader shuffles them in blocks of {rows}")


def _colors(pixels: Pixels) -> Finding:
    red = redness(pixels.faces)
    share = float((red > 0).mean())
    said = f"{100 * share:.0f}% of {len(red)} faces are redder than blue"
    if abs(share - 0.5) < 0.3 or abs(float(np.median(red))) < 0.02:
        return Finding("colors", UNDECIDED, f"{said}: gray or oddly lit images?")
    if share > 0.5:
        return Finding("colors", PASS, f"{said}: colors are as the reader takes them")
    return Finding(
        "colors", FAIL, f"{said}: RGB was stored where BGR was expected or the other way round; see --colors"
    )


def _convention(opened: GazeFolder, sample: GazeSplit, predictions: NDArray[np.float32]) -> list[Finding]:
    assert sample.gaze is not None, "needs labels"
    labels = sample.gaze.astype(np.float64)
    evidence = [from_network(labels, predictions)]
    points = _landmarks(opened)
    if points is not None:
        evidence.append(from_head(points[1], head_from_landmarks(points[0]), "landmarks"))
    findings = [_verdict("sign and order", evidence)]
    if sample.head_pose is not None:
        findings.append(_verdict("gaze and head", [from_head(labels, sample.head_pose, "head poses")]))
    return findings


def _verdict(check: str, evidence: list[Evidence]) -> Finding:
    """Pass or fail where what is sure agrees, else undecided."""
    text = "; ".join(entry.text for entry in evidence)
    sure = {entry.best for entry in evidence if entry.decided}
    if len(sure) != 1:
        return Finding(check, UNDECIDED, ("sources disagree: " if sure else "") + text)
    best = sure.pop()
    if best == "as read":
        return Finding(check, PASS, text)
    return Finding(check, FAIL, f"labels fit with {best}: {text}; see --order and --flip")


def _landmarks(opened: GazeFolder) -> tuple[NDArray[np.float32], NDArray[np.float64]] | None:
    """Landmarks ``(n, 68, 2)`` and gaze of labeled rows, where files of this layout have them."""
    points, gaze = [], []
    for split in opened.splits.values():
        if not isinstance(split.images, XGazeFiles) or split.gaze is None:
            continue
        found = split.images.column(LANDMARKS)
        if found is not None and found.shape[1:] == (68, 2) and np.isfinite(found).all():
            chosen = np.unique(np.linspace(0, len(split) - 1, SAMPLE).round().astype(np.int64))
            points.append(found[chosen])
            gaze.append(split.gaze[chosen].astype(np.float64))
    return (np.concatenate(points), np.concatenate(gaze)) if points else None
