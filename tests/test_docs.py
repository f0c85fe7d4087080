"""The Python of the pages, each from its top to its end, and of docstrings runs as it stands."""

import doctest
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import ergodual

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    str(page.relative_to(ROOT))
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if "```python" in page.read_text() or ">>>" in page.read_text()
]
OTHERS = ["lightning"]
"""What a page shows and nothing of ours needs: run where it is installed."""


@pytest.mark.filterwarnings("ignore::ergodual.NotDifferentiableWarning")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of lightning's
@pytest.mark.parametrize("page", PAGES)
def test_page(page: str) -> None:
    text = (ROOT / page).read_text()
    assert ">>>" not in text  # else it would not be run
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
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


SOURCE = Path(ergodual.__file__).parent
MODULES = [
    ".".join(["ergodual", *path.relative_to(SOURCE).with_suffix("").parts])
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_docstrings(module: str) -> None:
    """The reference says what is imported already."""
    names = {"torch": torch, "ed": ergodual}
    found = doctest.testmod(import_module(module), extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert found.attempted > found.failed == 0


def test_public_names_have_examples() -> None:
    """All but errors, and what needs another library or is only given back."""
    public = {name: getattr(ergodual, name) for name in ergodual.__all__}
    bare = {name for name, item in public.items() if ">>>" not in (item.__doc__ or "")}
    errors = {
        name
        for name, item in public.items()
        if isinstance(item, type) and issubclass(item, Exception)
    }
    assert bare - errors == {"Solution", "from_deepinv", "from_pylops", "to_deepinv"}
