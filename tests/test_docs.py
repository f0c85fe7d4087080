"""The Python of the pages runs as it stands, each page from its top to its end."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "docs/extending.md", "docs/solving.md"]


@pytest.mark.filterwarnings("ignore::ergodual.NotDifferentiableWarning")
@pytest.mark.parametrize("page", PAGES)
def test_page(page: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    assert blocks
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
