"""The gallery: an index of its pages by the fields that their docstrings end with, and how each
of them starts.
"""

import ast
import re
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import torch
from sphinx.application import Sphinx
from sphinx.config import Config

FIELDS = ("Application", "Regulariser", "Algorithm")


def page(examples: Path) -> str:
    found: dict[str, dict[str, list[str]]] = {field: defaultdict(list) for field in FIELDS}
    for path in sorted(examples.rglob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        for field in FIELDS:
            given = re.search(rf"^:{field}: (.+)$", text, re.M)
            if given is None:
                raise ValueError(f"The docstring of {path.name} has no line ':{field}: …'; add it.")
            for entry in given[1].split(", "):
                found[field][entry].append(path.relative_to(examples).with_suffix("").as_posix())
    parts = [":orphan:\n\nThe gallery by subject\n======================\n"]
    for field, entries in found.items():
        parts.append(f"By {field.lower()}\n{'-' * (len(field) + 3)}\n")
        for entry in sorted(entries, key=str.lower):
            pages = "\n".join(f"- :doc:`/gallery/{name}`" for name in entries[entry])
            parts.append(f"**{entry}**\n\n{pages}\n")
    return "\n".join(parts)


class ByReference:
    """Sorts pages by the reference in their title, ``[n]``, if there is one, and then by name."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def __call__(self, name: str) -> tuple[int, str]:
        text = ast.get_docstring(ast.parse((self.folder / name).read_text())) or ""
        number = re.match(r"\[(\d+)\]", text)
        return (int(number[1]) if number else sys.maxsize, name)


def start_anew(_conf: dict[str, object], _name: str) -> None:
    """What a page has set is not the next one's."""
    torch.set_default_dtype(torch.float32)
    warnings.resetwarnings()


def write(app: Sphinx, _config: Config) -> None:
    source = Path(app.srcdir)
    text, path = page(source.parent / "examples"), source / "indexed.rst"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}
