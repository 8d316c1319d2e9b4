"""Adapting to a person: by hand and by brute force, without touching the network, on held-out images only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gazenas.data.dataset import Faces
from gazenas.data.loader import normalize
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.evaluation import calibration
from gazenas.evaluation.calibration import (
    METHODS,
    RIDGES,
    Change,
    Sample,
    draw_at_random,
    draw_spread,
    fit_residual,
    last_layer,
    personal_statistics,
    save_user,
    try_methods,
    with_change,
)
from gazenas.layers.linear import StandardizedLinear
from gazenas.models.build import full_architecture
from gazenas.models.network import Network
from gazenas.models.zoo import build_model, build_subnet, load_model, load_space
from gazenas.training.loop import predict_faces
from tests.running import MICRO, disturb


@pytest.fixture
def net() -> Network:
    torch.manual_seed(0)
    return disturb(build_subnet(full_architecture(load_space(MICRO)))).eval()


@pytest.fixture(scope="module")
def person(data_folder: Path) -> Sample:
    split = open_data(data_folder).split("test")
    assert split.gaze is not None
    return Sample(split.faces(np.arange(len(split))), split.gaze)


def left_out(x: np.ndarray, y: np.ndarray, ridge: float | None) -> float:  # type: ignore[type-arg]
    """The sum of squared errors on each row of a regression on the others; the ridge of None keeps only the mean."""
    total = 0.0
    for row in range(len(x)):
        rest = np.arange(len(x)) != row
        center, mean = x[rest].mean(0), y[rest].mean(0)
        answer = mean
        if ridge is not None:
            a = x[rest] - center
            answer = mean + (x[row] - center) @ np.linalg.solve(
                a.T @ a + ridge * np.eye(x.shape[1]), a.T @ (y[rest] - mean)
            )
        total += float(((y[row] - answer) ** 2).sum())
    return total


@pytest.mark.parametrize(("count", "slope"), [(5, 1.0), (9, 0.0), (12, 0.3), (40, 1.0)])
def test_the_ridge_is_the_one_that_leaving_one_out_prefers(count: int, slope: float) -> None:
    rng = np.random.default_rng(count)
    x = rng.normal(size=(count, 3)) + 5
    y = slope * x @ rng.normal(size=(3, 2)) + rng.normal(size=(count, 2))
    centerd = x - x.mean(0)
    scale = float((centerd**2).sum()) / min(x.shape)
    ridges = [None, *(RIDGES * scale)]
    errors = [left_out(x, y, ridge) for ridge in ridges]
    best = ridges[int(np.argmin(errors))]
    weights, bias = fit_residual(x, y)
    expected = np.zeros((3, 2))
    if best is not None:
        expected = np.linalg.solve(centerd.T @ centerd + best * np.eye(3), centerd.T @ (y - y.mean(0)))
    np.testing.assert_allclose(weights, expected.T, atol=1e-9)
    np.testing.assert_allclose(x @ weights.T + bias, (x - x.mean(0)) @ expected + y.mean(0), atol=1e-9)


def test_one_or_two_images_only_move_the_mean() -> None:
    weights, bias = fit_residual(np.ones((2, 3)), np.array([[0.1, 0.2], [0.3, 0.6]]))
    assert not weights.any()
    np.testing.assert_allclose(bias, [0.2, 0.4])
    residual = np.random.default_rng(0).normal(size=(9, 2))
    weights, bias = fit_residual(np.full((9, 3), 0.1), residual)  # a network that answers the same to everything
    assert not weights.any()
    np.testing.assert_allclose(bias, residual.mean(0))


def test_spread_images_are_as_far_apart_as_dots() -> None:
    """Of a dense square with every point twice: nine are a quarter of its side apart, those by chance less."""
    side = np.linspace(0, 1, 9)
    square = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2).astype(np.float32)
    labels = np.concatenate([square, square])
    for seed in range(5):
        rows = draw_spread(labels, 9, np.random.default_rng(seed))
        assert len(set(rows)) == 9
        assert list(rows) == sorted(rows)
        apart = np.linalg.norm(labels[rows][:, None] - labels[rows], axis=-1) + 9 * np.eye(9)
        by_chance = labels[draw_at_random(labels, 9, np.random.default_rng(seed))]
        others = np.linalg.norm(by_chance[:, None] - by_chance, axis=-1) + 9 * np.eye(9)
        assert apart.min() >= 0.25 > others.min()
    assert len(set(draw_spread(labels[:4], 4, np.random.default_rng(0)))) == 4


@pytest.mark.parametrize("prior", [0.0, 32.0])
def test_statistics_are_those_of_the_person_s_images(net: Network, person: Sample, prior: float) -> None:
    """Of the first BatchNorm, by hand; the prior counts as so many images of the training."""
    name, norm = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.BatchNorm2d))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    seen: list[torch.Tensor] = []
    hook = norm.register_forward_hook(lambda module, given, answer: seen.append(given[0].detach().clone()))
    change = personal_statistics(net, person.faces[:8], prior)
    hook.remove()
    values = seen[0].transpose(0, 1).flatten(1)
    share = 8 / (8 + prior)
    for key, own in (("running_mean", values.mean(1)), ("running_var", values.var(1))):
        expected = share * own + (1 - share) * before[f"{name}.{key}"]
        torch.testing.assert_close(change[f"{name}.{key}"], expected)
    assert all(name.endswith(("running_mean", "running_var")) for name in change)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(module.training for module in net.modules())
    assert all(m.momentum == 0.1 for m in net.modules() if isinstance(m, nn.BatchNorm2d))


def test_a_network_with_its_own_statistics_again_answers_as_in_training(net: Network, person: Sample) -> None:
    """With the images' own statistics and no prior, eval mode gives what train mode gives for this batch."""
    faces = person.faces[:8]
    adapted = with_change(net, personal_statistics(net, faces, 0.0), faces)
    net.train()
    with torch.no_grad():
        trained = net(normalize(torch.from_numpy(faces.images))).numpy()
    # The running variance is the unbiased one: a factor of n / (n - 1), n >= 8 values a channel.
    assert np.abs(adapted - trained).mean() < 0.1 * np.abs(trained - predict_faces(net.eval(), faces)).mean()


@pytest.mark.parametrize("name", METHODS)
def test_the_network_is_left_as_it_was(net: Network, person: Sample, name: str) -> None:
    before = {key: value.clone() for key, value in net.state_dict().items()}
    change = METHODS[name](net, person)
    answers = with_change(net, change, person.faces)
    assert np.abs(answers - predict_faces(net, person.faces)).max() > 1e-3
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_corrections_are_the_maps_that_they_say(net: Network, person: Sample) -> None:
    answers = predict_faces(net, person.faces)
    biased = with_change(net, METHODS["bias"](net, person), person.faces)
    np.testing.assert_allclose(biased, answers + (person.labels - answers).mean(0), atol=1e-4)
    weights, bias = fit_residual(answers, person.labels - answers)
    mapped = with_change(net, METHODS["affine"](net, person), person.faces)
    np.testing.assert_allclose(mapped, answers + answers @ weights.T + bias, atol=1e-4)
    seen: list[torch.Tensor] = []
    hook = last_layer(net).register_forward_hook(lambda module, given, answer: seen.append(given[0]))
    predict_faces(net, person.faces)
    hook.remove()
    weights, bias = fit_residual(seen[0].numpy(), person.labels - answers)
    moved = with_change(net, METHODS["last"](net, person), person.faces)
    np.testing.assert_allclose(moved, answers + seen[0].numpy() @ weights.T + bias, atol=1e-4)


@pytest.mark.parametrize("method", ["bias", "affine", "last"])
def test_corrections_of_a_standardized_last_layer(person: Sample, method: str) -> None:
    """The map is of the answers in centimeters, whatever scale and offset stand behind the layer."""
    torch.manual_seed(0)
    rival = disturb(build_model("handmade-5m", input_size=32, task="screen_point")).eval()
    layer = last_layer(rival)
    assert isinstance(layer, StandardizedLinear)
    layer.standardize(torch.tensor([[3.0, 10.0], [-5.0, 30.0]]))
    answers = predict_faces(rival, person.faces)
    points = answers * np.float32([0.8, 1.1]) + np.float32([2.0, -3.0]) + 0.3 * np.float32(person.labels)
    mapped = with_change(rival, METHODS[method](rival, Sample(person.faces, points)), person.faces)
    if method == "bias":
        expected = answers + (points - answers).mean(0)
    else:
        inputs = answers
        if method == "last":
            seen: list[torch.Tensor] = []
            hook = layer.register_forward_hook(lambda module, given, answer: seen.append(given[0]))
            predict_faces(rival, person.faces)
            hook.remove()
            inputs = seen[0].numpy()
        weights, bias = fit_residual(inputs, points - answers)
        expected = answers + inputs @ weights.T + bias
    np.testing.assert_allclose(mapped, expected, atol=1e-3)
    assert np.abs(mapped - answers).max() > 0.5


def test_what_is_measured_was_never_adapted_to(net: Network, person: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """No image of a sample is among the held-out ones; every sample has k different images."""
    given: list[np.ndarray] = []  # type: ignore[type-arg]
    held: list[np.ndarray] = []  # type: ignore[type-arg]

    def spy(network: Network, sample: Sample) -> Change:
        given.append(sample.faces.images)
        return {}

    def look(network: Network, change: Change, faces: Faces) -> np.ndarray:  # type: ignore[type-arg]
        held.append(faces.images)
        return predict_faces(network, faces)

    methods: dict[str, Callable[[Network, Sample], Change]] = {"spy": spy}
    monkeypatch.setattr(calibration, "METHODS", methods)
    monkeypatch.setattr(calibration, "with_change", look)
    outcomes = try_methods(net, "anna", person.faces, person.labels, [1, 5, 8, 9], draws=3, seed=2)
    assert [(o.k, o.draw) for o in outcomes] == [(k, d) for k in (1, 5, 8) for d in range(3)]
    for faces, others, outcome in zip(given, held, outcomes, strict=True):
        own = {face.tobytes() for face in faces}
        assert len(own) == len(faces) == outcome.k
        assert not own & {face.tobytes() for face in others}
        assert outcome.before == pytest.approx(outcome.after, abs=1e-4)
        assert outcome.images == len(others) == len(person.faces) - len(person.faces) // 2


def test_a_person_s_file_is_laid_over_its_own_weights_only(net: Network, person: Sample, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    net.architecture().save(tmp_path / "arch.json")
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, tmp_path / "weights.safetensors")
    for name, method in METHODS.items():
        change = method(net, person)
        save_user(tmp_path / "anna.safetensors", change, net, {"person": "anna"})
        loaded = load_model(tmp_path, user=tmp_path / "anna.safetensors")
        expected = with_change(net, change, person.faces)
        np.testing.assert_array_equal(predict_faces(loaded, person.faces), expected, err_msg=name)
    moved = {key: value.contiguous() + 1 for key, value in net.state_dict().items()}
    save_file(moved, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="was made for weights"):
        load_model(tmp_path, user=tmp_path / "anna.safetensors")
    save_file({"other": torch.zeros(1)}, tmp_path / "ben.safetensors")
    with pytest.raises(InputError, match="holds 'other', which the network lacks"):
        load_model(tmp_path, user=tmp_path / "ben.safetensors")
