"""What the project's own files promise."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"^make {target}\b", listed.stdout, re.M), target


def test_results_are_light() -> None:
    files = [file for file in (ROOT / "results").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 1_500_000
    figures = [file.with_suffix("") for file in files if file.suffix in (".svg", ".png")]
    assert len(figures) == len(set(figures)) > 0  # each once


def test_importing_costs_little_more_than_torch() -> None:
    code = "import sys, {}; print(len(sys.modules))"
    torch, ours = (
        int(subprocess.check_output([sys.executable, "-c", code.format(name)]))
        for name in ("torch", "ergodual")
    )
    assert ours <= 1.15 * torch


def test_pages_of_the_gallery_are_short() -> None:
    examples = list((ROOT / "examples").glob("*.py"))
    assert examples
    for example in examples:
        assert len(example.read_text().splitlines()) <= 100, example.name
