"""The site: ``make docs`` builds it, with warnings as errors."""

import sys
from pathlib import Path

import ergodual

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Ergodual"
author = "The Ergodual authors"
project_copyright = author
version = release = ergodual.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # of docs/_ext
    "gallery",
    "linked",
    "mathml",
    "measured",
    "public",
]
exclude_patterns = ["_ext", "_templates"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "Ergodual"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_sidebars = {
    page: [] for page in ("index", "install", "choosing", "contributing", "gallery/*", "indexed")
}
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "guide": []},
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
}

myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
numpydoc_show_class_members = False

nitpicky = True
# other projects' names, whose pages cannot be looked up offline
nitpick_ignore_regex = [("py:.*", r"(torch|numpy|nn|pathlib|collections|typing)\b.*")]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "example_extensions": {".py"},
    "within_subsection_order": "gallery.ByReference",
    "doc_module": ("ergodual",),
    "backreferences_dir": "reference/used",
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "gallery.start_anew"),
    "download_all_examples": False,
    "show_signature": False,
    "abort_on_example_error": True,
    "show_memory": False,
    "parallel": 2,
    "write_computation_times": False,
}
