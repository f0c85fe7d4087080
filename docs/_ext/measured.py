"""Tables of the site that are made from the JSON in results/ when it is built.

    ```{measured} benchmarks/memory.json
    depth    | depth
    tape, MB | tape MB | .0f
    ```

A line is a column: its heading, the key in each row of the file (``key[0]`` of a list,
``key[name]`` of an object), a format of Python's, and ``key=value`` pairs that choose among the
rows of one group. Options: ``rows``, where the rows are (``rows``); ``by``, the keys that make a
group, and so a line of the table; ``where``, pairs that all rows have; ``names``, ``value=shown``
pairs; ``transposed``. Below stands the processor that it was measured on. The gallery's pages say
``.. measured:: benchmarks/memory.json``.
"""

import json
import re
from pathlib import Path
from typing import Any

from docutils.nodes import Node
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Row = dict[str, Any]


def pairs(text: str) -> dict[str, str]:
    """``a=1, b=2`` as a dictionary."""
    return {
        key.strip(): value.strip()
        for key, value in (one.split("=", 1) for one in text.split(",") if one.strip())
    }


def fits(row: Row, chosen: dict[str, str]) -> bool:
    return all(str(row[key]) == value for key, value in chosen.items())


def entry(row: Row, key: str, form: str) -> str:
    within = re.fullmatch(r"(.+)\[(.+)\]", key)
    value = row[within[1] if within else key]
    if within:
        value = value[int(within[2]) if isinstance(value, list) else within[2]]
    if value is None:
        return "–"
    return format(value, form) if form else str(value)


def measured_on(content: dict[str, Any]) -> str:
    """The processor, where the file says it."""
    machine = content.get("machine", {})
    said = [machine[key] for key in ("processor", "instructions") if key in machine]
    return f", measured on {', '.join(said)}" if said else ""


def grouped(rows: list[Row], keys: list[str]) -> list[list[Row]]:
    """The rows with equal values of the keys, in the order of their first; each alone if none."""
    groups: dict[Any, list[Row]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(tuple(row[key] for key in keys) if keys else i, []).append(row)
    return list(groups.values())


def restructured(lines: list[tuple[str, ...]], name: str, machine: str) -> str:
    """The same for pages of reStructuredText, whose second line makes the first one a heading."""
    first, _, *rest = lines
    table = "\n".join(
        "\n     - ".join(("   * -", *line)).replace("-\n     -", "-") for line in (first, *rest)
    )
    return (
        f".. list-table::\n   :header-rows: 1\n\n{table}\n\n:download:`Data </{name}>`{machine}\n"
    )


class Measured(SphinxDirective):
    """The directive."""

    required_arguments = 1
    has_content = True
    option_spec = {
        "rows": directives.unchanged,
        "by": directives.unchanged,
        "where": directives.unchanged,
        "names": directives.unchanged,
        "transposed": directives.flag,
    }

    def run(self) -> list[Node]:
        name = f"../results/{self.arguments[0]}"
        path = Path(self.env.srcdir, name).resolve()
        self.env.note_dependency(str(path))
        content = json.loads(path.read_text())
        rows: list[Row] = content[self.options.get("rows", "rows")]
        where = pairs(self.options.get("where", ""))
        keys = [key.strip() for key in self.options.get("by", "").split(",") if key]
        groups = grouped([row for row in rows if fits(row, where)], keys)
        columns = [self.column(line, groups) for line in self.content if line.strip()]
        if not groups:
            raise self.error(f"No row of {name} has {where}; look at the options.")
        lines = columns if "transposed" in self.options else list(zip(*columns, strict=True))
        lines = [lines[0], ("---",) * len(lines[0]), *lines[1:]]
        if self.env.docname.startswith("gallery/"):
            return self.parse_text_to_nodes(restructured(lines, name, measured_on(content)))
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return self.parse_text_to_nodes(f"{table}\n\n[Data]({name}){measured_on(content)}\n")

    def column(self, line: str, groups: list[list[Row]]) -> tuple[str, ...]:
        """The heading, and an entry for each group."""
        heading, key, form, chosen = (*(part.strip() for part in line.split("|")), "", "")[:4]
        names = pairs(self.options.get("names", ""))
        found = [next((r for r in rows if fits(r, pairs(chosen))), None) for rows in groups]
        entries = ["" if row is None else entry(row, key, form) for row in found]
        return (heading, *(names.get(one, one) for one in entries))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True}
