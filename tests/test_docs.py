"""The Python of the pages runs as it stands, each page from its top to its end."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    "docs/install.md",
    "docs/extending.md",
    "docs/learning.md",
    "docs/solving.md",
    "docs/cells.md",
    "docs/catalogue.md",
]
OTHERS = ["lightning"]
"""What a page shows and nothing of ours needs: run where it is installed."""


@pytest.mark.filterwarnings("ignore::ergodual.NotDifferentiableWarning")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of lightning's
@pytest.mark.parametrize("page", PAGES)
def test_page(page: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    assert blocks
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        if any(f"import {name}" in block and find_spec(name) is None for name in OTHERS):
            continue
        exec(compile(block, page, "exec"), names)


@pytest.mark.filterwarnings("ignore")  # of its own
def test_three_ways_end_alike() -> None:
    page = (ROOT / "docs/learning.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)[:4]
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    if find_spec("lightning") is None:
        blocks = blocks[:3]
    for block in blocks:
        exec(compile(block, "learning.md", "exec"), names)
    states = [names[name].state_dict() for name in ("first", "second")]
    states += [names["third"].network.state_dict()] if "third" in names else []
    for state in states[1:]:
        for name, t in state.items():
            torch.testing.assert_close(t, states[0][name])
