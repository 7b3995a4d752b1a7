"""Three examples of the tour as notebooks, run: docs/_build/notebooks/*.ipynb.

python docs/notebooks.py            fails where a cell fails
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
from sphinx_gallery.notebook import jupyter_notebook
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

HERE = Path(__file__).resolve().parent
EXAMPLES = ("plot_02_limit", "plot_04_predicted_networks", "plot_09_certificate")


def build(name: str, folder: Path) -> Path:
    """One example, its text as Markdown, its results in place."""
    _, blocks = split_code_and_text_blocks(str(HERE / "tour" / f"{name}.py"))
    settings = deepcopy(DEFAULT_GALLERY_CONF)
    made = jupyter_notebook(blocks, settings, str(HERE / "tour"))
    book = nbformat.reads(json.dumps(made), as_version=4)  # joins the lines of cells
    NotebookClient(book, timeout=300, kernel_name="python3").execute(cwd=str(folder))
    path = folder / f"{name.removeprefix('plot_')}.ipynb"
    nbformat.write(nbformat.validator.normalize(book)[1], path)
    return path


def main() -> int:
    folder = HERE / "_build" / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXAMPLES:
        print(build(name, folder).relative_to(HERE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
