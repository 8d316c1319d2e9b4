"""Errors of a prediction, and of the simplest predictors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gazenas.data.readers import open_data
from gazenas.evaluation.errors import evaluate_predictions
from gazenas.gaze import angular_error
from gazenas.tasks.gaze import GAZE, head_pose_error, mean_predictor_error


def test_errors_and_references(data_folder: Path) -> None:
    folder = open_data(data_folder)
    train, test = folder.split("train"), folder.split("test")
    assert test.gaze is not None
    predictions = test.gaze + np.array([0.1, -0.2], np.float32)
    result = evaluate_predictions(predictions, test)
    errors = angular_error(predictions, test.gaze)
    assert result.mean == pytest.approx(errors.mean())
    assert result.percentiles[95] == pytest.approx(np.percentile(errors, 95))
    assert result.measures["mae_pitch"] == pytest.approx(np.rad2deg(0.1), rel=1e-4)
    assert result.measures["mae_yaw"] == pytest.approx(np.rad2deg(0.2), rel=1e-4)
    assert result.interval[0] <= result.mean <= result.interval[1]
    assert {name: count for name, (_, count) in result.people.items()} == {"subject0004": 16}
    mean, pose = (
        mean_predictor_error(train.gaze, test.gaze),
        head_pose_error(train.gaze, train.head_pose, test.gaze, test.head_pose),
    )
    assert GAZE.reference_errors(train, test) == {
        "mean_predictor_error_deg": mean,
        "head_pose_error_deg": pose,
    }
    assert GAZE.mean_error(predictions, test.gaze) == pytest.approx(result.mean)
    assert mean is not None
    assert pose is not None
    assert 5 < pose < mean < 90
    test.gaze = None
    assert mean_predictor_error(train.gaze, test.gaze) is None
