"""Every key of a case file, from the code that reads it: the page of the docs and a first file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mfpde.blocks import BLOCKS
from mfpde.cases import FROM_LAW, parts, verbs
from mfpde.cases.keys import keys_of
from mfpde.depth import Depth
from mfpde.problem import Problem

HEAD = """# Case files

Every section and key that `mfpde solve`, `stationary`, `limit`, `train` and `check` read, made from
the signatures of what they call (`python -m mfpde.cases.reference` writes this page). A key
without a default must be there. `[block]`, `[law]` and `[measure]` have kinds: their keys are those
of the kind. `[[law]]` may be repeated, one table for each group of coordinates; `[[law.parts]]` are
the laws of a mixture (all on the same coordinates) or a product. The points of an empirical law are
rows, or a `.npy` or `.csv` file of them. A verb needs its
own section; `[depth]` and `[measure]` are needed by `solve` and `stationary`.

`import = "my_module"` (or a list), above the first section, imports modules of your own that
register blocks, activations or losses, from the file's folder first; so does `--import my_module`
for every command. Both run the module's code.

`[observe.NAME]` is data that a run does not train on: its series `NAME_loss` and `NAME_accuracy` or
`NAME_rmse` are recorded by every verb that takes `observe=`.

Results go to `CASE.h5`, `CASE.stationary.h5`, `CASE.limit.h5` and `CASE.train.h5`, or `--out`;
`mfpde info`, `plot` and `table` (CSV) read any of them. The exit status is 0 where the run
succeeded and reached what it was asked for, 1 where not, 2 for bad input.
"""

FIRST = """# mfpde check {name}.toml says how large this is; mfpde solve {name}.toml runs it.
# All keys of all sections: docs/cases/README.md. Lines behind # show defaults.
"""

# Sections of a first file: what is written out, the rest stands there as a comment.
STARTED: dict[str, dict[str, str]] = {
    "[data]": {"source": '"{name}.csv"'},
    "[block] kind = \"shl\"": {"dim": "2"},
    "[problem]": {},
    "[depth]": {"steps": "4"},
    "[law] kind = \"gaussian\"": {"std": "1.0", "dim": "5"},
    "[measure] kind = \"particles\"": {"count": "64"},
    "[solve]": {"s_end": "100.0"},
}  # fmt: skip


class Section(NamedTuple):
    """One section, or one kind of it, and what its keys are handed to."""

    title: str
    function: Callable[..., Any]
    given: tuple[str, ...]

    def keys(self) -> dict[str, Any]:
        return keys_of(self.function, self.given)


def sections() -> Iterator[Section]:
    """All sections, kind by kind."""
    yield Section("[data]", parts.load, ("folder",))
    for kind in BLOCKS:
        yield Section(f'[block] kind = "{kind}"', parts.keys_from(kind), ())
    yield Section("[problem]", Problem, ("x", "y", "block"))
    yield Section("[depth]", Depth, ())
    yield from (Section(f'[law] kind = "{kind}"', law, ()) for kind, law in parts.LAWS.items())
    for kind, maker in parts.MEASURES.items():
        yield Section(f'[measure] kind = "{kind}"', maker, ("law", "depth"))
    yield Section("[observe.NAME]", parts.load_other, ("folder",))
    for name, verb in verbs().items():
        start = "law" if name in FROM_LAW else "rho0"
        yield Section(f"[{name}]", verb, ("problem", start, "checkpoint"))


def page() -> str:
    """The page of the docs, in Markdown."""
    out = [HEAD]
    for section in sections():
        rows = [
            f"| `{key}` | {_kind(p).replace('|', 'or')} | {_default(p)} |"
            for key, p in section.keys().items()
        ]
        table = ["| key | what | default |", "|---|---|---|", *rows]
        out.append("\n".join([f"## `{section.title}`", "", *table, ""]))
    return "\n".join(out)


def first(name: str) -> str:
    """A commented case file that runs on ``name``.csv."""
    out = [FIRST.format(name=name)]
    for section in sections():
        if section.title not in STARTED:
            continue
        title, _, kind = section.title.partition(" ")
        out.append("\n".join([title, *([kind] if kind else []), *_lines(section, name), ""]))
    return "\n".join(out)


def _lines(section: Section, name: str) -> Iterator[str]:
    written = STARTED[section.title]
    for key, parameter in section.keys().items():
        if key in written:
            yield f"{key} = {written[key].format(name=name)}"
        else:
            value = "" if parameter.default is None else _toml(parameter.default)
            yield f"# {key} = {value}  # {_kind(parameter)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int):
        return str(value)
    return f"{value:g}" if isinstance(value, float) else f'"{np.dtype(value)}"'


# Annotations as what a file holds, the longer ones first.
WORDS = {
    " | None": "",
    "str | Sequence[str]": "text or a list of texts",
    "int | Sequence[int]": "a whole number or a list of such",
    "Sequence[str]": "a list of texts",
    "Sequence[int]": "a list of whole numbers",
    "Sequence[Block]": "a list of tables",
    "Sequence[Law]": "a list of tables",
    "Sequence[Any]": "numbers",
    "str | Loss | Mapping[str, Any]": "text or a table",
    "str | Optimizer | optimizers.Optimizer | Mapping[str, Any]": "text or a table",
    "Optimizer | Mapping[str, Any]": "a table",
    "str | Path": "text",
    "str | ArrayLike": "text or numbers",
    "DTypeLike": "text",
    "ArrayLike": "numbers",
    "Block": "a table",
    "SHL": "a table",
    "Save": 'a number, a list of times, or "steps"',
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "Any": "anything",
}


def _kind(parameter: Any) -> str:
    text = str(parameter.annotation)
    for word, meaning in WORDS.items():
        if text == word or word.startswith(" "):
            text = text.replace(word, meaning)
    return text


def _default(parameter: Any) -> str:
    if parameter.default is parameter.empty:
        return "**needed**"
    return "none" if parameter.default is None else f"`{_toml(parameter.default)}`"


def main() -> None:
    from pathlib import Path

    Path("docs/cases/README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
