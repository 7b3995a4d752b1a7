"""What the documents show runs as it stands: each block alone, in a fresh interpreter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mfpde

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "docs/cases/README.md",
    *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))),
]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


BLOCKS = [(page, number) for page in PAGES for number in range(len(blocks(page)))]


@pytest.mark.parametrize(("page", "number"), BLOCKS)
def test_every_python_block_runs_alone(page, number, tmp_path):
    """An interpreter each: nothing is there but what a reader who copies the block has."""
    block = blocks(page)[number]
    for name in ("torch", "jax", "mpi4py"):
        if re.search(rf"(?m)^\s*(import|from) {name}\b", block):
            pytest.importorskip(name, exc_type=ImportError)
    (tmp_path / "block.py").write_text(block, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "block.py"],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("https://arxiv.org/abs/"):
            assert ((ROOT / page).parent / target).exists(), target


def test_every_paper_named_by_its_number_is_on_the_page_that_links_them():
    """No other page or docstring leads outside: a wrong number shows on one page alone."""
    cited = (ROOT / "docs/citing.md").read_text(encoding="utf-8")
    links = re.findall(r"\[arXiv:([0-9.]+)\]\(https://arxiv\.org/abs/([0-9.]+)\)", cited)
    assert len(links) >= 10
    assert all(shown == target for shown, target in links)
    known = {shown for shown, _ in links}
    files = [
        "README.md",
        "CITATION.cff",
        *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
    ]
    for folder in ("mfpde", "validation", "docs/tour"):
        files += [str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py")]
    for name in files:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert set(re.findall(r"arXiv[:\s]+(\d{4}\.\d{5})", text)) <= known, name
        outside = set(re.findall(r"https?://[\w./-]+", text))
        assert all(url.startswith("https://arxiv.org/abs/") for url in outside), (name, outside)


TOUR = sorted((ROOT / "docs" / "tour").glob("plot_*.py"))


@pytest.mark.parametrize("example", TOUR, ids=lambda path: path.stem)
def test_an_example_is_short_and_shows_a_result(example):
    text = example.read_text(encoding="utf-8")
    body = text.partition('"""\n\n')[2]
    code = [line for line in body.splitlines() if line and not line.startswith(("#", "import"))]
    assert len(code) <= 35, len(code)
    assert "print(" in text
    assert "plots." in text or ".plot(" in text


def test_the_formula_index_names_what_is_there():
    pytest.importorskip("torch")  # of image networks, which it names
    rows = re.findall(r"^\|.*\|$", (ROOT / "docs/formulas.md").read_text("utf-8"), re.MULTILINE)
    for row in rows:
        *_, functions, tests, scripts = re.sub(r"\$.*?\$", "", row).strip("|").split("|")
        for name in re.findall(r"`([\w.]+)", functions):
            _resolve(name, functions)
        for name in re.findall(r"`([\w/.]+)`", tests):
            assert (ROOT / "tests" / name).exists(), name
        for name in re.findall(r"`([\w.]+)`", scripts):
            assert (ROOT / "validation" / name).exists(), name


def _resolve(name: str, row: str) -> None:
    """A name of the index is one of the package, or of the room named before it in its cell."""
    room = re.findall(r"`(\w+)\.", row)
    starts = [mfpde, *(getattr(mfpde, one) for one in room)]
    for start in starts:
        item = start
        for part in name.split("."):
            item = getattr(item, part, None)
        if item is not None:
            return
    raise AssertionError(name)


def test_one_version():
    assert f"version: {mfpde.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_every_promise_names_tests_that_exist():
    text = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|campaign|validation|mfpde)/[\w/.]*)`", text)
    assert len(named) > 20
    for path in named:
        folder = "tests/" if path.startswith("campaign") else ""
        assert (ROOT / (folder + path)).exists(), path
