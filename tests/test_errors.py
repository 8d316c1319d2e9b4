"""What people are told names what they may have meant: a verb, a flag, a file, a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from gazenas.errors import InputError, did_you_mean
from gazenas.files import nearest_file, read_json
from tests.running import run_bad


@pytest.mark.parametrize(
    ("word", "meant"),
    [("serch", "search"), ("SEARCH", "search"), ("repotr", "report"), ("xyzzy", None), ("", None)],
)
def test_the_nearest_word(word: str, meant: str | None) -> None:
    expected = "" if meant is None else f" (did you mean {meant}?)"
    assert did_you_mean(word, ["search", "report", "export"]) == expected


def test_the_nearest_file_in_its_folder(tmp_path: Path) -> None:
    for name in ("arch.json", "weights.safetensors"):
        (tmp_path / name).touch()
    assert nearest_file(tmp_path / "arhc.json") == f" (did you mean {tmp_path / 'arch.json'}?)"
    assert nearest_file(tmp_path / "arch.json") == nearest_file(tmp_path / "none" / "arch.json") == ""
    with pytest.raises(InputError, match=r"arch\.jsn: no such file \(did you mean .*arch\.json\?\)"):
        read_json(tmp_path / "arch.jsn")


def test_verbs_say_what_may_have_been_meant(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = data_folder.with_name(data_folder.name + "s")
    out = ["--out", str(tmp_path / "out")]
    cases = {
        "unknown verb 'serch' (did you mean search?)": ["serch"],
        "--taget_macs=5M (did you mean --target-macs?)": ["search", "--data", "x", "--taget_macs=5M", *out],
        "unrecognized arguments: --zzz 5": ["search", "--data", "x", "--zzz", "5", *out],
        "required: out; 'gazenas search --help' lists": ["search", "--data", "x"],
        f"no such data folder (did you mean {data_folder}?)": ["search", "--data", str(near), "--target-macs=5M", *out],
        "'gazenas-tiny-5' (did you mean gazenas-tiny-5m?)": ["summary", "gazenas-tiny-5", *out],
        "'gazenas_fst' (did you mean gazenas_fast?)": ["search", "--data", "x", "--space", "gazenas_fst", *out],
        "'gase' (did you mean gaze?)": ["search", "--data", "x", "--task", "gase", *out],
        "found 'onecycel' (did you mean onecycle?)": [
            *["search", "--data", str(data_folder), "--target-macs=5M", "--schedule", "onecycel", *out]
        ],
    }
    for message, words in cases.items():
        said = run_bad(words, capsys)
        assert message in said, (words, said)
        assert said.count("\n") == 1
