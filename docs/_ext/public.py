"""The reference's lists of names, from what the package exports, room by room."""

import re
import sys
from pathlib import Path

from docutils.nodes import Element, TextElement
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

import ergodual
from ergodual import bilevel, images, primal_dual, solving, speech

ROOMS = {
    "problem": "Problems",
    "functions": "Functions",
    "operators": "Operators",
    "primal_dual": "Iterating",
    "solving": "Solving",
    "checks": "Checks",
    "speech": "Speech",
    "images": "Images",
    "errors": "Errors and warnings",
}
FURTHER = "Further"
EXAMPLES = (
    "The examples begin with ``import torch`` and ``import ergodual as ed``; a test runs them."
)


def lists() -> dict[str, list[str]]:
    """The full names under each title."""
    found: dict[str, list[str]] = {title: [] for title in (*ROOMS.values(), FURTHER)}
    for name in ergodual.__all__:
        room = getattr(ergodual, name).__module__.split(".")[1]
        found[ROOMS.get(room, FURTHER)].append(f"ergodual.{name}")
    found[ROOMS["speech"]] += [f"ergodual.speech.{name}" for name in speech.__all__]
    found[ROOMS["images"]] += [f"ergodual.images.{name}" for name in images.__all__]
    found["Learning"] = [
        f"ergodual.bilevel.{name}"
        for name in bilevel.__all__
        if getattr(getattr(bilevel, name), "__module__", "").startswith("ergodual")
    ]
    found["To write parts of your own"] = [
        f"{module.__name__}.{name}"
        for module in (primal_dual, solving)
        for name in module.__all__
        if name not in ergodual.__all__ and isinstance(getattr(module, name), type)
    ]
    return found


def page() -> str:
    parts = [f"Reference\n=========\n\n{EXAMPLES}\n"]
    for title, names in lists().items():
        if names:
            entries = "\n".join(f"   {name}" for name in names)
            parts.append(
                f"{title}\n{'-' * len(title)}\n\n.. autosummary::\n   :toctree: generated\n"
                f"   :nosignatures:\n\n{entries}\n"
            )
    return "\n".join(parts)


def write(app: Sphinx, _config: Config) -> None:
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    path = folder / "index.rst"
    text = page()
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def leave_as_text(
    _app: Sphinx, _env: BuildEnvironment, node: pending_xref, shown: TextElement
) -> Element | None:
    """A name of ours that has no page of its own stays text; one that does not exist is warned of.

    Signatures name such classes, as of states between two iterations.
    """
    name = node.get("reftarget", "").split(".")[-1]
    modules = [module for key, module in list(sys.modules.items()) if key.startswith("ergodual")]
    classes = [item for one in modules for item in vars(one).values() if isinstance(item, type)]
    known = any(hasattr(owner, name) for owner in (*modules, *classes))
    return shown if node.get("refdomain") == "py" and known else None


def keep_bars(
    _app: Sphinx, _what: str, _name: str, _item: object, _options: object, lines: list[str]
) -> None:
    """Absolute values, as |x_i|, are no substitutions of reStructuredText."""
    for i, line in enumerate(lines):
        pieces = re.split(r"(`[^`]*`)", line)
        lines[i] = "".join(one if one[:1] == "`" else one.replace("|", r"\|") for one in pieces)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write)
    app.connect("missing-reference", leave_as_text)
    app.connect("autodoc-process-docstring", keep_bars)
    return {"parallel_read_safe": True}
