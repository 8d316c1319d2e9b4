"""What a network was trained on, and with which face model its faces were normalized."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gazenas.data.people import trained_people
from gazenas.errors import InputError
from gazenas.faces.face_models import FaceModel
from gazenas.models.zoo import find_model, list_subnets

TRAINED_ON = "trained_on"  # of an ONNX file's metadata: a sentence
KEY = "face_model"  # of an ONNX file's metadata: the name and the fingerprint, with a space between


def contract_of(model: FaceModel) -> str:
    """What stands under ``KEY``."""
    return f"{model.name} {model.fingerprint}"


def check_face_model(metadata: Mapping[str, str], model: FaceModel, *, refuse: bool = True) -> str:
    """A sentence about whether faces are normalized as a network's were; empty where they are.

    Args:
        metadata: of the network's file.
        model: with which its patches are made.
        refuse: whether another one is an error.

    Raises:
        InputError: where it says another model, and that is refused.
    """
    stated = metadata.get(KEY, "")
    if stated == contract_of(model):
        return ""
    if not stated:
        return (
            f"the network does not say with which face model its faces were normalized; {contract_of(model)} is used: "
            "where it was another, gaze is off by a constant angle"
        )
    said = f"face model: the network's faces were normalized with {stated}, these with {contract_of(model)}"
    if refuse:
        raise InputError(f"{said}: expected the same by --face-model, or --any-face-model")
    return f"{said}: gaze may be off by a constant angle"


def trained_on(model: str, metadata: Mapping[str, str] | None = None) -> str:
    """A sentence about the faces that a network knows: of a shipped subnet its card's first one, of a run how many
    people of which data sets, of an ONNX file what it says of itself.

    Args:
        model: a name, a path of a run, or an ONNX file's.
        metadata: of an ONNX file.
    """
    if metadata:
        return metadata.get(TRAINED_ON) or f"{model} does not say what it was trained on"
    people = trained_people(model)
    if people is not None:
        counts = (f"{len(names)} of the data set {fingerprint}" for fingerprint, names in people.items())
        return f"Trained on people: {', '.join(counts)}."
    if Path(model).exists() or model not in list_subnets():
        return f"nothing says what {model} was trained on"
    weights = find_model(model).weights
    card = None if weights is None else weights.with_suffix(".md")
    return card.read_text(encoding="utf-8").splitlines()[0] if card is not None and card.is_file() else ""
