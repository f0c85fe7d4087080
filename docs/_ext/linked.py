"""Public names in inline code, as `ed.L1(0.1)`, lead to the reference."""

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

import ergodual


class Linked(SphinxTransform):
    """Makes links of them before links are resolved."""

    default_priority = 500

    def apply(self) -> None:
        for node in list(self.document.findall(nodes.literal)):
            found = re.match(r"ed\.(\w+)", node.astext())
            linked = isinstance(node.parent, nodes.reference | pending_xref | nodes.title)
            if found is None or found[1] not in ergodual.__all__ or linked:
                continue
            link = pending_xref(
                refdomain="py",
                reftype="obj",
                reftarget=f"ergodual.{found[1]}",
                refdoc=self.env.docname,
                refexplicit=True,
                refwarn=True,
            )
            node.replace_self(link)
            link += node


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(Linked)
    return {"parallel_read_safe": True}
