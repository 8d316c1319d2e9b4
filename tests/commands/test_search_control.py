"""``search --control``: what its words mean, and one comparison with the hand-made rival from end to end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from gazenas.__main__ import main
from gazenas.commands._control import compared_kinds, controls_of, errors_by_kind, finetune_recipe_of, summarize_errors
from gazenas.errors import InputError
from gazenas.evaluation.comparison import candidates
from gazenas.models.zoo import load_model
from gazenas.search.recipe import SearchRecipe
from gazenas.training.finetuning import FinetuneRecipe
from tests.running import MICRO, MICRO_CHAIN, assert_same_run, begin, metrics, run_bad, search

FITTING = ("--target-macs", "40%")  # at which there is a rival in multiples of four
KINDS = ("found", "scratch", "handmade")


def test_words_of_control() -> None:
    assert controls_of("none") == ()
    assert controls_of("random") == ("random",)
    assert controls_of("random, handmade") == ("random", "handmade")
    assert compared_kinds(["random"]) == ("found", "scratch", "uniform", "random")
    assert compared_kinds(["handmade"]) == ("found", "handmade")
    assert compared_kinds(["scratch", "random"]) == compared_kinds(["random"])
    for text in ("", "chance", "random,none", "random,random", "random,,handmade"):
        with pytest.raises(InputError, match=f"each once and with commas, random, scratch, handmade, found {text!r}"):
            controls_of(text)


def test_the_rival_trains_as_the_search_does() -> None:
    recipe = SearchRecipe(epochs=7, batch_size=16, lr=3e-3, decay=0.9, decay_every=2, weight_decay=0.1, average=0.5)
    own = finetune_recipe_of(recipe)
    own.check()
    shared = {name for name in vars(recipe) if name in vars(own)}
    assert {"epochs", "batch_size", "lr", "weight_decay", "average"} <= shared
    assert {name: getattr(own, name) for name in shared} == {name: getattr(recipe, name) for name in shared}
    assert own.keep == "last"
    others = set(vars(own)) - shared - {"keep"}
    assert all(getattr(own, name) == getattr(FinetuneRecipe(), name) for name in others)


def test_a_field_that_both_recipes_get_is_taken_over() -> None:
    @dataclass(frozen=True)
    class Later(SearchRecipe):
        augment: str = "strong"

    assert finetune_recipe_of(Later()).augment == "strong"


def test_beside_the_handmade_rival(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rivals"
    words = search(data_folder, out, *FITTING, "--control", "scratch,handmade", "--control-seeds", "1", "--seed", "3")
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "seconds" in said
    assert "above found" in said
    summaries = {kind: json.loads((out / "seed3" / kind / "summary.json").read_text()) for kind in KINDS}
    assert {kind: summary["control"] for kind, summary in summaries.items()} == {kind: kind for kind in KINDS}
    target = summaries["found"]["target_macs"]
    assert 0.98 * target < summaries["handmade"]["macs"] <= target
    assert {summary["seed"] for summary in summaries.values()} == {3}
    assert {len(metrics(out / "seed3" / kind)) for kind in KINDS} == {6}  # equal passes
    assert (out / "plots" / "control.png").exists()
    table = [line.split(",") for line in (out / "comparison.csv").read_text().splitlines()]
    assert [row[:2] for row in table[1:]] == [[kind, "3"] for kind in KINDS]
    assert all(float(row[table[0].index("seconds")]) > 0 for row in table[1:])
    rival = load_model(out / "seed3" / "handmade")
    assert rival.architecture().fingerprint() == summaries["handmade"]["fingerprint"]
    assert [each.kind for each in candidates([str(out / "seed3" / "handmade")], retrain=False, input_size=0)] == [
        "trained"
    ]
    assert main(["summary", str(out / "seed3" / "handmade"), "--verify"]) == 0
    assert f"fvcore counts {summaries['handmade']['macs']:,} MACs" in " ".join(capsys.readouterr().out.split())
    before = (out / "comparison.csv").read_bytes()
    assert main([*words, "--resume"]) == 0  # finished runs are kept
    assert "epoch" not in capsys.readouterr().out
    assert (out / "comparison.csv").read_bytes() == before


@pytest.mark.slow
def test_the_rival_s_run_is_a_fine_tuning_that_can_be_had_again(data_folder: Path, tmp_path: Path) -> None:
    """Its config.yaml alone gives ``finetune`` the same bytes; killed and gone on with it has them as well."""
    chain = ("--space", str(MICRO_CHAIN), "--target-macs", "104000")  # at which there is a rival, too
    words = search(data_folder, tmp_path / "whole", *chain, "--control", "handmade", "--control-seeds", "1")
    assert main(words) == 0
    run = tmp_path / "whole" / "seed0" / "handmade"
    assert main(["finetune", "--config", str(run / "config.yaml"), "--out", str(tmp_path / "again")]) == 0
    assert_same_run(run, tmp_path / "again")
    words = search(data_folder, tmp_path / "killed", *chain, "--control", "handmade", "--control-seeds", "1")
    begin(words, "metrics.csv", "7").communicate()  # the search's five epochs and the rival's second
    assert not (tmp_path / "killed" / "seed0" / "handmade" / "summary.json").exists()
    assert main([*words, "--resume"]) == 0
    assert_same_run(run, tmp_path / "killed" / "seed0" / "handmade")


@pytest.mark.slow
def test_a_family_is_compared_at_its_last_budget(data_folder: Path, tmp_path: Path) -> None:
    words = ["search", "--data", str(data_folder), "--space", str(MICRO), "--targets", "60%,40%", "--epochs", "5"]
    words += ["--batch-size", "8", "--threads", "1", "--control", "handmade", "--control-seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    found, rival = (
        json.loads((tmp_path / "run" / "seed0" / kind / "summary.json").read_text()) for kind in ("found", "handmade")
    )
    assert 0.98 * found["target_macs"] < rival["macs"] <= found["target_macs"]


def test_bad_controls_are_refused_before_anything_is_trained(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "found 'handmde'" in run_bad(search(data_folder, out, "--control", "handmde"), capsys)
    dry = search(data_folder, out, "--control", "handmade", "--dry-run")
    assert "leave out --control" in run_bad(dry, capsys)
    words = ["search", "--data", str(data_folder), "--space", str(MICRO), "--out", str(out), "--threads", "1"]
    assert "expected a budget" in run_bad([*words, "--control", "handmade"], capsys)
    small = [*words, "--control", "handmade", "--target-macs", "70000"]
    said = run_bad(small, capsys)
    assert "no widths in multiples of 4 at 32 pixels" in said
    assert "nearest are 4-4-4 below (66,432 MACs) and 4-4-8 above (86,656 MACs)" in said
    assert not list(out.glob("seed*"))


def test_means_are_by_kind() -> None:
    rows = [
        {"control": kind, "seed": seed, "macs": 10, "params": 4, "val_error_deg": 1.0, "seconds": seconds}
        | {"test_error_deg": error}
        for kind, seed, error, seconds in (("found", 0, 7.0, 10), ("found", 1, 9.0, 20), ("handmade", 0, 8.0, 5))
    ]
    spread = summarize_errors(errors_by_kind(rows), rows)
    assert spread["found"]["mean"] == 8.0
    assert spread["found"]["deviation"] == pytest.approx(2**0.5)
    assert spread["found"]["seconds"] == 15.0
    assert spread["handmade"]["deviation"] is None  # one seed says nothing of the others
    assert spread["found"]["errors"] == "7.00 9.00"
    assert spread["found"]["measured_on"] == "test"
    assert list(spread) == ["found", "handmade"]
