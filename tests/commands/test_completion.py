"""The script by which a shell completes, asked as bash asks it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gazenas.__main__ import VERBS, main
from gazenas.commands.completion import completion_script
from gazenas.models.zoo import list_subnets

BASH = shutil.which("bash") or ""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "gazenas"
    path.write_text(completion_script())
    return path


def completed(script: Path, *words: str) -> list[str]:
    """What the shell offers for the last of the words behind ``gazenas``."""
    line = " ".join(f"'{word}'" for word in ("gazenas", *words))
    asked = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _gazenas; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    found = subprocess.run([BASH, "-c", asked], capture_output=True, text=True, check=True)
    assert not found.stderr
    return found.stdout.split()


@pytest.mark.skipif(not BASH, reason="no bash here")
def test_what_bash_offers(script: Path) -> None:
    assert completed(script, "") == sorted(VERBS)
    assert completed(script, "se") == ["search"]
    assert completed(script, "search", "--target-ma") == ["--target-macs"]
    assert completed(script, "search", "--data", "x", "--target-ma") == ["--target-macs"]
    many = [word for number in range(5) for word in ("--seed", str(number))]
    assert completed(script, "search", *many, "--target-ma") == ["--target-macs"]
    assert completed(script, "search", *many, *many, "--schedule", "co") == ["cosine"]
    assert completed(script, "search", "--space", "gazenas_fast_t") == ["gazenas_fast_tiny", "gazenas_fast_tiny_v1"]
    assert completed(script, "finetune", "--schedule", "co") == ["cosine"]
    assert completed(script, "finetune", "--arch", "gazenas-tiny") == ["gazenas-tiny-5m", "gazenas-tiny-9m"]
    assert completed(script, "summary", "")[: len(list_subnets())] == list_subnets()
    assert completed(script, "data", "") == ["show", "check", "prepare", "normalize"]
    assert completed(script, "data", "check", "--undet") == ["--undetected"]
    assert completed(script, "protocol", "ethxgaze-p") == ["ethxgaze-person"]
    assert "--hours" not in completed(script, "data", "check", "--")
    # Files, which the shell offers by itself where nothing else is.
    assert completed(script, "search", "--data", "") == []
    assert completed(script, "data", "check", "") == []
    assert "--recorded" not in completed(script, "search", "--")


def test_every_shell_has_its_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("autoload -U +X bashcompinit")
    assert said.endswith("complete -o default -F _gazenas gazenas\n")
