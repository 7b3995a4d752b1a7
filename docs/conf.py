"""The site: pages of markdown, a tour that is run, and a reference read from the docstrings."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("MPLBACKEND", "Agg")
logging.getLogger("matplotlib.animation").setLevel(logging.WARNING)

import _site  # noqa: E402

import mfpde  # noqa: E402

project, author = "mfpde", "The mfpde developers"
project_copyright = author
version = release = mfpde.__version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "tour/*.py", "tour/GALLERY_HEADER.rst", "*.part.md"]
nitpicky = False

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # functions in the gallery's settings cannot be compared

# Formulas: MathJax from a package, copied beside the pages, so that nothing is fetched when read.
mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax"
mathjax_path = "mathjax/tex-chtml.js"

html_theme = "furo"
html_title = f"mfpde {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types stand in a table of the arguments
autodoc_preserve_defaults = True
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"

sphinx_gallery_conf = {
    "examples_dirs": "tour",
    "gallery_dirs": "tour_pages",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "capture_repr": (),
    "reset_modules": (_site.wear_the_style,),
    "min_reported_time": 1e9,  # the times of one machine are no business of the reader
    "show_signature": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,
    "doc_module": (),
}


def setup(app):
    app.connect("builder-inited", _site.generate)
    app.connect("source-read", _site.within_the_site)
    app.connect("autodoc-process-docstring", _site.as_rst)
    app.connect("build-finished", _site.copy_mathjax(mathjax))
