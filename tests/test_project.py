"""What the project's own files promise."""

import re
import subprocess
import sys
from pathlib import Path

from recipes import models, relatives

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


LINES = {"examples": 100, "relatives": 150}


def test_pages_of_the_gallery_are_short() -> None:
    examples = list((ROOT / "examples").rglob("*.py"))
    assert {example.parent.name for example in examples} == set(LINES)
    for example in examples:
        count = len(example.read_text().splitlines())
        assert count <= LINES[example.parent.name], example.name


def test_relatives_are_complete() -> None:
    """Each page is in the site's table, and what it shows of results is there and made by make."""
    table = (ROOT / "docs/relatives.md").read_text()
    names = relatives.NAMES
    for page in (ROOT / "examples/relatives").glob("*.py"):
        assert f"<gallery/relatives/{page.stem}>" in table
        for shown in re.findall(r"measured:: relatives/(\w+)\.json", page.read_text()):
            assert shown in names
            assert (ROOT / f"results/relatives/{shown}.json").exists()


def test_means_and_ranges_over_seeds() -> None:
    runs = [{"seed": seed, "depth": d, "dB": 1.0 * d * seed} for seed in (1, 2) for d in (3, 4)]
    assert relatives.over_seeds(runs) == [
        {"depth": 3, "seeds": 2, "dB": 4.5, "dB, range": [3.0, 6.0]},
        {"depth": 4, "seeds": 2, "dB": 6.0, "dB, range": [4.0, 8.0]},
    ]


def test_card_shows_what_was_measured() -> None:
    """Its text and its tables are those that the recipe makes of results/."""
    card = (ROOT / "src/ergodual/data/models/speech-16k/CARD.md").read_text()
    for line in models.card({}).splitlines():
        assert line in card
