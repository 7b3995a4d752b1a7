"""The page of results, docs/validation.md: claims as the scripts wrote them, never by hand.

``docs/measured`` keeps what the scripts left at their default sizes: NAME.csv, the claims, and
NAME.png, the figure; the page is made of these and of the scripts' docstrings.
"""

from __future__ import annotations

import ast
import csv
import shutil
from collections import Counter
from pathlib import Path

from drawing import ROOT
from matplotlib.image import imread, imsave

MEASURED = ROOT / "docs" / "measured"
PAGE = ROOT / "docs" / "validation.md"
WIDEST = 900  # pixels of a figure on the page
SHEET = "contact_sheet.png"

INTRODUCTION = """# Validation

One script for each claim. `python validation/NAME.py` prints a table and a verdict and writes
its data into `out/NAME/`; `--quick` takes under a minute; `figures/NAME.py` draws from what was
written, and `make figures` makes all of them, the three longest from their small versions. This
page is made from what all wrote at their default sizes (`python figures/all_figures.py --publish`);
*open* is what a run of that size does not resolve. What a script says of itself, its theorem,
setting and prediction, is at its head, and on the site's page of validation scripts.
"""


def publish(out: Path) -> None:
    """Take claims, figures and the sheet from ``out``, where they are, and write the page."""
    MEASURED.mkdir(exist_ok=True)
    if (out / SHEET).is_file():
        _shrink(out / SHEET, MEASURED / SHEET, 2 * WIDEST)
    for claims in sorted(out.glob("*/claims.csv")):
        name = claims.parent.name
        shutil.copyfile(claims, MEASURED / f"{name}.csv")
        picture = claims.parent / f"{name}.png"
        if picture.is_file():
            _shrink(picture, MEASURED / f"{name}.png")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """docs/validation.md, from ``docs/measured`` and the scripts."""
    scripts = sorted(path for path in (ROOT / "validation").glob("*.py") if _is_script(path))
    sheet = f"![All figures, by the names of their scripts](measured/{SHEET})\n"
    shown = [sheet] if (MEASURED / SHEET).is_file() else []
    summary = ["| script | claim | verdicts |", "|---|---|---|", *map(_line, scripts), ""]
    return "\n".join([INTRODUCTION, *summary, *shown, *(_section(path) for path in scripts)])


def _line(path: Path) -> str:
    """One script in the table of all."""
    counts = Counter(row[0] for row in _claims(path.stem)[1:])
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return f"| [`{path.name}`](../validation/{path.name}) | {_title(path)} | {told or 'not run'} |"


def _claims(name: str) -> list[list[str]]:
    """Rows of the claims, the header first; none where the script was not run."""
    claims = MEASURED / f"{name}.csv"
    if not claims.is_file():
        return []
    with claims.open(newline="", encoding="utf-8") as file:
        return [[_cell(text) for text in row] for row in csv.reader(file)]


def _section(path: Path) -> str:
    name = path.stem
    lines = [f"## {_title(path)}", "", f"[`{path.name}`](../validation/{path.name})", ""]
    rows = _claims(name)
    if not rows:
        return "\n".join([*lines, "Not run at its default size yet.", ""])
    table = [f"| {' | '.join(row)} |" for row in rows]
    lines += [table[0], "|---|---|---|", *table[1:], ""]
    if (MEASURED / f"{name}.png").is_file():
        lines += [f"![{_title(path)}](measured/{name}.png)", "", f"*{_caption(name)}*", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").split())


def _is_script(path: Path) -> bool:
    source = path.read_text(encoding="utf-8")
    return path.stem != "study" and ("study.script(" in source or "def main(" in source)


def _title(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    return " ".join(doc.partition("\n\n")[0].split()).rstrip(".")


def _caption(name: str) -> str:
    """What is seen, as the figure's script says it."""
    said = _title(ROOT / "figures" / f"{name}.py").removeprefix("Figure: ")
    return said[0].upper() + said[1:] + "."


def _shrink(picture: Path, to: Path, widest: int = WIDEST) -> None:
    """A copy of at most so many pixels, by means over squares of whole pixels."""
    image = imread(picture)
    k = -(-image.shape[1] // widest)
    height, width = (size // k * k for size in image.shape[:2])
    cut = image[:height, :width].reshape(height // k, k, width // k, k, -1)
    imsave(to, cut.mean(axis=(1, 3)))
