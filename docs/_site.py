"""What the site needs beside Sphinx: docstrings as RST, links between pages, generated pages."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import mfpde

ROOT = Path(__file__).resolve().parents[1]

# Files that the pages name where they lie in the repository, and the pages that show them.
SHOWN = {
    "../benchmarks/README.md": "benchmarks.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
    "tour/)": "tour_pages/index.rst)",
}
# Pages with a column of functions, and which one it is.
FUNCTIONS = {"formulas": 3, "statements": 2}
ROOMS = {
    "mfpde": "Problems, measures, verbs",
    "mfpde.laws": "Laws of parameters",
    "mfpde.paths": "Laws of paths in depth",
    "mfpde.data": "Data",
    "mfpde.blocks": "Blocks",
    "mfpde.activations": "Activations",
    "mfpde.losses": "Losses",
    "mfpde.optimizers": "Optimisers in the limit of small steps",
    "mfpde.measures": "Measures and grids",
    "mfpde.transport": "Conditional optimal transport",
    "mfpde.entropic": "Gibbs states",
    "mfpde.theory": "Theory",
    "mfpde.resnet": "Finite networks",
    "mfpde.images": "Image networks",
    "mfpde.sweep": "Sweeps",
    "mfpde.plots": "Pictures",
}


def wear_the_style(_conf: Any, _file: str) -> None:
    """Every example starts with the package's style and no figures."""
    import matplotlib.pyplot as plt

    from mfpde.plots.style import STYLE

    plt.close("all")
    plt.style.use(str(STYLE))


def within_the_site(_app: Any, name: str, source: list[str]) -> None:
    """Links to files of the repository lead to the pages that show them, functions to theirs."""
    for path, page in SHOWN.items():
        source[0] = source[0].replace(f"]({path}", f"]({page}")
    if name in FUNCTIONS:
        lines = source[0].split("\n")
        source[0] = "\n".join(
            _led(line, FUNCTIONS[name]) if line[:1] == "|" else line for line in lines
        )


def _led(row: str, column: int) -> str:
    """A row of a table whose names of functions lead to the reference."""
    cells = re.split(r"(?<!\\)\|", row)
    cell = cells[column]
    rooms = ["mfpde", *(f"mfpde.{room}" for room in re.findall(r"`(\w+)\.", cell))]

    def link(found: re.Match[str]) -> str:
        name, rest = found.groups()
        for room in rooms:
            try:
                attrgetter(f"{room}.{name}".removeprefix("mfpde."))(mfpde)
            except AttributeError:
                continue
            return f"{{py:obj}}`{name}{rest} <{room}.{name}>`"
        return found[0]

    cells[column] = re.sub(r"`([\w.]+)([^`<]*)`", link, cell)
    return "|".join(cells)


def copy_mathjax(folder: Path) -> Callable[[Any, Exception | None], None]:
    def copy(app: Any, error: Exception | None) -> None:
        if error is None and app.builder.format == "html":
            to = Path(app.outdir) / "_static" / "mathjax"
            shutil.copytree(folder / "output/chtml", to / "output/chtml", dirs_exist_ok=True)
            shutil.copy2(folder / "tex-chtml.js", to)

    return copy


# -- docstrings ----------------------------------------------------------------------------------


def as_rst(_app: Any, what: str, _name: str, item: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings of the house are plain text: indented lines are formulas or code.

    A class or function gets a table of its arguments after its first paragraph.
    """
    out: list[str] = []
    for text, indented in _parts(_sections(lines)):
        out += _literal(text) if indented else _escaped(text)
    table = _arguments(item, what) if what in ("function", "method", "class") else []
    if table:
        first = next((i for i, line in enumerate(out) if not line.strip()), len(out))
        out[first:first] = ["", *table]
    lines[:] = out


def _sections(lines: list[str]) -> list[str]:
    """Sections "Args:", "Raises:" as lists, one item for each name."""
    out: list[str] = []
    inside = False
    for line in lines:
        if line in ("Args:", "Returns:", "Raises:"):
            inside = True
            out += [line, ""]
        elif inside and line.startswith("     "):
            out.append("  " + line.strip())
        elif inside and line.startswith("    "):
            out.append("* " + line.strip())
        else:
            inside = inside and not line
            out.append(re.sub(r"::$", ":", line))
    return out


def _parts(lines: list[str]) -> list[tuple[list[str], bool]]:
    """Runs of lines, and whether each is an indented block after an empty line."""
    parts: list[tuple[list[str], bool]] = [([], False)]
    before, within_list = "", False
    for line in lines:
        text, (block, literal) = line.strip(), parts[-1]
        deep = line.startswith("    ") and not within_list
        if not text:
            block.append("")
        elif deep and (literal or not before):
            if not literal:
                parts.append(([], True))
            parts[-1][0].append(line)
        else:
            if literal:
                parts.append(([], False))
            within_list = text.startswith(("* ", "- ")) or (within_list and line[0] == " ")
            parts[-1][0].append(line)
        before = text
    return parts


def _literal(text: list[str]) -> list[str]:
    body = inspect.cleandoc("\n".join(text)).splitlines()
    try:
        ast.parse("\n".join(body))
        head = [".. code-block:: python"]
    except SyntaxError:
        head = [".. code-block:: text", "   :class: formula"]
    return ["", *head, "", *(f"   {line}".rstrip() for line in body), ""]


def _escaped(lines: list[str]) -> list[str]:
    """Plain text with ``code`` in it, as RST; names of the package become links."""
    text = re.sub(r"(?m)^(\s*)\* ", r"\1- ", "\n".join(lines))
    pieces = re.split(r"(``?[^`]+``?)", text)
    return "".join(_piece(piece) for piece in pieces).split("\n")


def _piece(piece: str) -> str:
    if not piece.startswith("`"):
        return re.sub(r"([*|_\\`])", r"\\\1", piece)
    code = " ".join(piece.strip("`").split())
    if re.fullmatch(r"mfpde(\.\w+)+", code):
        return f":py:obj:`{code}`"
    return f"``{code}``"


def _arguments(item: Any, what: str) -> list[str]:
    """A table of arguments, types and defaults; of methods only where there is a default."""
    try:
        parameters = inspect.signature(item).parameters.values()
    except (TypeError, ValueError):
        return []
    kept = [p for p in parameters if p.name not in ("self", "cls") and p.name[0] != "_"]
    if not kept or (what == "method" and all(p.default is p.empty for p in kept)):
        return []
    what = "field" if dataclasses.is_dataclass(item) else "argument"
    shows = any(p.default is not p.empty for p in kept)
    rows = [".. list-table::", "   :class: arguments", "   :header-rows: 1", ""]
    rows += [f"   * - {what}", "     - type", *["     - default"] * shows]
    for p in kept:
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        plain = p.annotation if isinstance(p.annotation, str) else _name(p.annotation)
        default = "" if p.default is p.empty else f"``{_shown(p.default)}``"
        rows += [f"   * - ``{stars}{p.name}``", f"     - ``{plain}``" if plain else "     -"]
        rows += [f"     - {default}".rstrip()] * shows
    return [*rows, ""]


def _name(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _shown(value: Any) -> str:
    text = value.__name__ if callable(value) and hasattr(value, "__name__") else repr(value)
    return text if len(text) < 40 and " at 0x" not in text else "…"


# -- generated pages -----------------------------------------------------------------------------


def generate(app: Any) -> None:
    """The pages of the reference, one a room, and the page of validation scripts."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    shown: dict[int, str] = {}
    for room, title in [*list(ROOMS.items())[1:], next(iter(ROOMS.items()))]:
        _write(folder / f"{room}.rst", _room(room, title, shown))
    names = "\n".join(ROOMS)
    _write(
        folder / "index.md",
        "# Reference\n\nEvery public name, room by room, from its docstring.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{names}\n```\n",
    )
    _write(Path(app.srcdir) / "scripts.md", _scripts())


def _room(room: str, title: str, shown: dict[int, str]) -> str:
    """One page: what the room is, and each public name once in the whole reference.

    The package itself comes last, so that blocks, measures and transport have pages of their own;
    what it exports is shown by the name that users write.
    """
    heading = f"{title}\n{'=' * len(title)}"
    try:
        module = import_module(room)
    except ImportError as error:  # a room whose extra is not installed where the site is built
        return f"{heading}\n\n``{room}`` was not there when this site was built: {error}.\n"
    head = (inspect.getdoc(module) or "").partition("\n\n")[0]
    routines, classes, elsewhere = [], [], []
    for name, item in _public(module):
        top = getattr(mfpde, name, None) is item
        path = f"mfpde.{name}" if top else f"{room}.{name}"
        if id(item) in shown:
            elsewhere.append(f":py:obj:`{path}`")
        elif inspect.isclass(item):
            derived = issubclass(item, mfpde.Block) and item is not mfpde.Block
            classes.append(f".. autoclass:: {path}" + ("" if derived else "\n   :members:"))
        else:
            routines.append(f".. autofunction:: {path}")
        shown[id(item)] = path
    first, second = (classes, routines) if room == "mfpde" else (routines, classes)
    parts = [heading, f"``{room}``: " + "\n".join(_escaped([head])), *first, *second]
    if elsewhere:
        parts.append("On pages of their own: " + ", ".join(elsewhere) + ".")
    return "\n\n".join(parts) + "\n"


def _public(module: Any) -> Iterator[tuple[str, Any]]:
    """Public functions and classes of a room, by name."""
    listed = getattr(module, "__all__", None)
    for name in listed or vars(module):
        item = getattr(module, name)
        source = getattr(item, "__module__", None) or ""
        own = source.startswith("mfpde") if listed else source == module.__name__
        if name[0] != "_" and own and (inspect.isclass(item) or inspect.isroutine(item)):
            yield name, item


def _scripts() -> str:
    """What every validation script says of itself, with its claims and figure where it was run."""
    parts = ["# The validation scripts\n\nWhat each says of itself; made from the sources.\n"]
    for path in sorted((ROOT / "validation").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "study.script(" in source or "main = " in source:
            doc = ast.get_docstring(ast.parse(source)) or ""
            title, _, rest = doc.partition("\n\n")
            title = " ".join(title.split()).rstrip(".")
            parts.append(f"## {title}\n\n`validation/{path.name}`\n\n```text\n{rest}\n```\n")
    return "\n".join(parts)


def _write(path: Path, text: str) -> None:
    """Only where something changed, so that an unchanged page is not built again."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
