"""Hostile input, made from the public signatures: a new public function is in it by itself.

Every callable of the public modules is called with valid arguments, of which one at a time is
replaced by something wrong. Each call is one of

    right     a value that the argument may have, and a finite result
    clear     a TypeError, ValueError or the like whose text names the argument
    unclear   any other error, or one that names nothing
    silent    a value that the argument must not have was taken, or the result is not finite
    hang      longer than a few seconds

``python tests/campaign/signatures.py`` runs all of them and prints the table.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import inspect
import os
import sys
import tempfile
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from outcome import limited
from rooms import public

import mfpde
from mfpde import data, entropic, laws, measures, resnet, sweep, theory, transport

MODULES = (mfpde, measures, theory, transport, laws, data, resnet, sweep, entropic)
CONSTRUCTORS = ("from_law", "from_particles", "from_grid", "from_network", "uniform", "sinh",
                "of_box", "load")  # fmt: skip
SECONDS = 10.0  # for one call

# Valid requests for more training than any machine can do: they are not made.
LONG = {(argument, label) for argument in ("s_end", "step") for label in ("1e300", "10**10")}
LONG |= {("step", "1e-320")}
PATIENT = ("limit", "finite_size", "sensitivity", "required_size", "linear_closure")
CLEAR = (TypeError, ValueError, OSError, ImportError)

# Classes that verbs return, and a base: nobody constructs them. So are dataclasses that do not
# check their fields; errors, enumerations, tuples, protocols and abstract classes are left out too.
MADE_BY_VERBS = ("Law", "Coupled", "Potential", "Snapshot", "Solution")
LEFT_OUT = (BaseException, enum.Enum, tuple)


class Case(NamedTuple):
    """One call: a public callable by name, the argument replaced, and by what."""

    function: str
    argument: str
    label: str
    value: Any


def these(**values: Any) -> dict[str, Any]:
    return values


class Decay:
    """A run whose loss falls exponentially."""

    s = np.linspace(0.0, 10.0, 60)
    loss = np.exp(-s)


class Tensor(np.ndarray):
    """As much of torch's tensor as the package asks for."""

    detach = cpu = lambda self: self

    def numpy(self) -> np.ndarray:
        return np.asarray(self)


class Network:
    """Blocks of two linear layers, R² → R³ → R², as torch holds them."""

    def modules(self) -> list[Any]:
        return [self.linear(2, 3), self.linear(3, 2)]

    @staticmethod
    def linear(n: int, m: int) -> Any:
        layer = types.SimpleNamespace(in_features=n, out_features=m, bias=None)
        layer.weight = np.ones((m, n)).view(Tensor)
        return layer


@functools.cache
def world() -> dict[str, Any]:
    """Valid values by the name of an argument, small enough that every verb takes milliseconds."""
    x = np.linspace(-1.0, 1.0, 3)[:, None]
    y = np.sin(x[:, 0])
    problem = mfpde.Problem(x, y, block=mfpde.SHL(1))
    depth, law = mfpde.Depth(1, "euler"), laws.Gaussian(1.0, dim=3)
    rho = mfpde.ParticleMeasure.from_law(law, depth, count=4)
    other = mfpde.ParticleMeasure.from_law(law, depth, count=4, seed=1)
    sol = mfpde.solve(problem, rho, s_end=0.1, save="steps", max_steps=200, progress=False)
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    sol.save(folder / "run.h5")
    (folder / "points.csv").write_text("x,y\n1,2\n3,4\n")
    axes = [measures.Axis.uniform(-4.0, 4.0, 4)] * 3
    grid = mfpde.GridMeasure.from_law(law, depth, axes=axes)
    networks = these(layers=1, width=2, seeds=1, s_end=0.1, step=0.05, progress=False)
    resnet.train(problem, law, checkpoint=folder / "network.h5", **networks)
    plans = transport.conditional_transport(rho, other, method="simplex")
    values = these(
        problem=problem, law=law, depth=depth, rho=rho, rho0=rho, mu=rho, nu=other, sol=sol,
        x=x, y=y, s=np.array([0.0, 0.05, 0.1]), s_end=0.1, path=folder / "run.h5", axes=axes,
        block=problem.block, transport=plans, r=0.5, measures=[rho, other, rho], measure=grid,
        direction=theory.stationarity(problem, rho), mass=0.1, node=0, count=4, cells=4, n=4,
        low=-1.0, high=1.0, focus=0.0, box=[(-4.0, 4.0)] * 3, masses=grid.masses, grid=grid.grid,
        theta=rho.theta, t=[0.5], t_=[0.5], edges=[0.0, 1.0, 2.0, 3.0], steps=2, method=None,
        dim=1, spacing=0.5, factor=2, std=1.0, mean=0.0, value=0.0, labels=[0, 1, 1],
        network=folder / "network.h5", table=folder / "points.csv", shapes=[(1, 2)],
        name="value", module=Network(), layers=2, width=2, step=0.05,
        epsilon=0.5, eta=0.2, errors=np.ones((6, 2)), losses=np.ones((6, 4)), lip=np.ones(1),
        kappa=1.0, margin=1.0, coupling=0.1, alpha=0.5, slope=lambda p: p - 2.0, exponent=0.1,
        sigma=np.eye(2), cases=[{"x": 1}], function=float, depth_cells=3, batch=2, index=0,
        tokens=2, rank=1, blocks=[mfpde.SHL(1), mfpde.Linear(1)],
    )  # fmt: skip
    return values


@functools.cache
def special() -> dict[str, dict[str, Any]]:
    """Valid arguments where those of ``world`` do not do, by the name of the callable."""
    w = world()
    line = mfpde.Problem(w["x"], w["y"], block=mfpde.Linear(1))
    cold = mfpde.Problem(w["x"], w["y"], block=mfpde.SHL(1), temperature=0.5)
    classes = mfpde.Problem(w["x"], [-1.0, 1.0, 1.0], block=mfpde.SHL(1), loss="logistic")
    grid = mfpde.GridMeasure.from_law(w["law"], w["depth"], axes=w["axes"])
    sigma0 = np.tile(np.eye(2), (1, 1, 1))
    flow = theory.linear_closure(line, sigma0, w["depth"], [0.0, 0.1])
    sizes = these(layers=[2, 4, 8, 2, 4, 8], width=[4, 4, 4, 16, 16, 16])
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal((6, 8)))
    placed = these(theta=w["theta"][0], t=[0.1, 0.3, 0.6, 0.9])
    slow = np.random.default_rng(0)
    return {
        "GridMeasure.from_law": these(cells=4, axes=None),
        "GridMeasure.from_particles": these(cells=4, axes=None),
        "MovingGrid.from_law": these(cells=4, axes=None),
        "MovingGrid.from_grid": these(rho=grid),
        "JointGrid.from_law": these(cells=4, axes=None, depth=None),
        "MovingGrid": these(
            theta=grid.grid.points.reshape(1, -1, 3), weights=grid.masses.reshape(1, -1)
        ),
        "JointGrid": these(masses=np.full((3, 4, 4, 4), 1 / 192)),
        "JointMeasure": placed,
        "OrderedBlocks": placed,
        "JointMeasure.from_law": these(depth="even"),
        "OrderedBlocks.from_law": these(depth="even"),
        "Meshed": these(block=mfpde.SHL(1)),
        "Normalised": these(block=mfpde.SHL(4)),
        "Problem": these(loss="squared"),
        "Uniform": these(dim=2),
        "Correlated": these(covariance=np.eye(2)),
        "Empirical": these(points=np.ones((2, 3))),
        "Mixture": these(parts=[w["law"], w["law"]]),
        "ParticleMeasure.from_network": these(scale=1.0),
        "stationary": these(problem=cold, rho0=grid, tol=1e-2),
        "prior": these(problem=cold, axes=w["axes"]),
        "solve": these(max_steps=200),
        "limit": these(rtol=0.1, times=2),
        "Grid": these(axes=tuple(w["axes"])),
        "at_depth": these(t=0.5),
        "load": these(source=w["table"]),
        "points": these(source=w["table"]),
        "fit_rate": these(sol=Decay()),
        "principal_components": these(x=slow.standard_normal((4, 2)), count=2),
        "subset": these(count=2),
        "depth_regularity": these(
            measure=mfpde.ParticleMeasure.from_law(w["law"], mfpde.Depth(2), count=2)
        ),
        "train": these(law=w["law"], layers=2, width=2, seeds=1),
        "train_shapes": these(seeds=1, s_end=0.1, step=0.05),
        "resnet.load": these(path=w["network"]),
        "resnet.resume": these(path=w["network"]),
        "linear_closure": these(problem=line, sigma0=sigma0, s=[0.0, 0.1]),
        "linear_bound": these(problem=line, flow=flow),
        "linear_scalar": these(steps=None),
        "gradient_domination": these(problem=line),
        "fit_finite_size": these(**sizes, errors=noise, resamples=20),
        "fit_loss_law": these(**sizes, losses=noise, resamples=20),
        "kernel_evolution": these(s=[0.0, 0.1]),
        "envelope": these(s=[0.0, 0.1]),
        "hessian_product": these(direction=w["theta"]),
        "escape": these(rounds=1, s_round=0.1, loss_below=10.0),
        "required_size": these(s_end=0.1, step=0.1, epsilon=2.0),
        "sublevel_certificate": these(problem=classes, loss_below=0.6),
        "map_runs": these(workers=0, function=dict),
        "as_measure": these(value=w["rho"]),
    }


def hostile() -> dict[str, Any]:
    """What a user may hand over by mistake, or on purpose."""
    masked = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    return {
        "None": None,
        "object": object(),
        "text": "hello",
        "bytes": b"hello",
        "True": True,
        "nan": float("nan"),
        "inf": float("inf"),
        "-inf": float("-inf"),
        "zero": 0,
        "minus one": -1,
        "half": 0.5,
        "1e300": 1e300,
        "-1e300": -1e300,
        "1e-320": 1e-320,
        "10**10": 10**10,
        "10**400": 10**400,
        "complex": 1 + 2j,
        "numpy True": np.bool_(True),
        "empty list": [],
        "ragged": [[1.0], [1.0, 2.0]],
        "list": [1.0, 2.0],
        "dict": {"a": 1},
        "set": {1, 2},
        "class": int,
        "function": lambda *a, **k: None,
        "generator": (i for i in range(3)),
        "empty array": np.empty(0),
        "no columns": np.empty((3, 0)),
        "nan array": np.array([1.0, np.nan]),
        "complex array": np.array([1.0 + 1j, 2.0]),
        "masked array": masked,
        "dates": np.array(["2020-01-01", "2020-01-02"], "datetime64[D]"),
        "records": np.zeros(2, [("a", float), ("b", int)]),
        "objects": np.array([object(), None]),
        "cube": np.ones((2, 2, 2)),
        "huge": np.array([1e300, -1e300]),
        "path": Path("absent/nowhere.h5"),
        "module": np,
        "array of shape ()": np.array(1.5),
    }


# No argument of any kind may be one of these ...
NEVER = {"object", "bytes", "complex", "module", "complex array", "masked array", "dates",
         "records", "objects", "ragged", "nan", "nan array"}  # fmt: skip
# ... and no number, whole number, flag or text one of those.
NOT_OF = {
    "float": {"text", "True", "numpy True", "list", "dict", "class", "10**400", "empty list"},
    "int": {"text", "True", "numpy True", "list", "dict", "half", "inf", "-inf", "10**400"},
    "bool": {"text", "None", "zero", "minus one", "half", "empty list", "dict"},
    "str": {"None", "True", "zero", "half", "list", "dict", "hello", "empty array"},
}
FREE = {"Any", "object", "Executor | None", "Callable[..., T]"}  # annotations that allow anything


def functions() -> dict[str, Callable[..., Any]]:
    """Every public callable by name; of two of one name, the second has its module before it."""
    found: dict[str, Callable[..., Any]] = {}
    for module in MODULES:
        for name in public(module) if hasattr(module, "__all__") else vars(module):
            item = getattr(module, name)
            own = getattr(item, "__module__", "").startswith(module.__name__)
            if name == "Solution":
                found["Solution.load"] = item.load
            if not name[0].isalpha() or not callable(item) or not own or made(name, item):
                continue
            if found.get(name, item) is not item:
                name = f"{module.__name__.rpartition('.')[2]}.{name}"
            found[name] = item
            for method in CONSTRUCTORS if isinstance(item, type) else ():
                if hasattr(item, method):
                    found[f"{name}.{method}"] = getattr(item, method)
    return {name: found[name] for name in sorted(found) if name != "warmup"}


def made(name: str, item: Any) -> bool:
    """Whether nobody but the package makes objects of this class."""
    if not isinstance(item, type):
        return False
    plain = dataclasses.is_dataclass(item) and not hasattr(item.__init__, "__wrapped__")
    abstract = inspect.isabstract(item) or getattr(item, "_is_protocol", False)
    return name in MADE_BY_VERBS or plain or abstract or issubclass(item, LEFT_OUT)


def valid(name: str) -> dict[str, Any]:
    """Valid arguments of a callable."""
    function = functions()[name]
    own = special().get(name, {})
    found = dict(own)
    for key, parameter in parameters(function).items():
        if key in own:
            continue
        if parameter.default is parameter.empty:
            if key not in world():
                raise KeyError(f"{name}: tests/campaign/signatures.py has no valid {key!r}")
            found[key] = world()[key]
        elif key == "progress":
            found[key] = False
    return found


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    signature = inspect.signature(function)
    return {k: p for k, p in signature.parameters.items() if p.kind in kinds}


def cases() -> Iterator[Case]:
    """All cases, in a fixed order."""
    for name, function in functions().items():
        for argument in parameters(function):
            yield from (Case(name, argument, k, value) for k, value in hostile().items())


def sample(size: int | None, seed: int) -> list[Case]:
    """So many cases, drawn at random; all of them where ``size`` is None."""
    every = [c for c in cases() if c.function not in PATIENT or c[1:3] not in LONG]
    order = np.random.default_rng(seed).permutation(len(every))
    return every if size is None else [every[k] for k in order[:size]]


def judge(case: Case) -> tuple[str, str]:
    """The kind of a call's outcome, and what was seen."""
    arguments = valid(case.function)
    arguments[case.argument] = case.value
    try:
        with limited(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = functions()[case.function](**arguments)
    except TimeoutError:
        return "hang", f"more than {SECONDS:g} s"
    except CLEAR as error:
        named = own_code(case) or (
            case.argument in str(error) and not isinstance(error, np.exceptions.AxisError)
        )
        return "clear" if named else "unclear", f"{type(error).__name__}: {error}"
    except (mfpde.SolveError, resnet.TrainingError) as error:
        return "clear", str(error)
    except Exception as error:
        kind = "right" if own_code(case) else "unclear"
        return kind, f"{type(error).__name__}: {error}"
    if forbidden(case):
        return "silent", f"returned {str(found)[:60]}"
    return ("right", "") if _finite(found) else ("silent", f"not finite: {str(found)[:60]}")


def forbidden(case: Case) -> bool:
    """Whether the annotation of the argument rules the value out."""
    annotation = str(parameters(functions()[case.function])[case.argument].annotation)
    parts = {part.strip() for part in annotation.split("|")}
    if parts & FREE or own_code(case) or (case.label == "None" and "None" in parts):
        return False
    single = parts - {"None"}
    kinds = NOT_OF.get(next(iter(single)), set()) if len(single) == 1 else set()
    return case.label in NEVER or case.label in kinds


def own_code(case: Case) -> bool:
    """Whether the value is a function that the callable may take: its errors are its own."""
    annotation = str(parameters(functions()[case.function])[case.argument].annotation)
    return case.label in ("class", "function") and "Call" in annotation


def _finite(found: Any) -> bool:
    plain = isinstance(found, float | np.ndarray) and np.asarray(found).dtype.kind == "f"
    return not plain or bool(np.all(np.isfinite(found)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="so many cases, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="callables whose name contains this")
    parser.add_argument("--show", nargs="*", default=["unclear", "silent", "hang"])
    options = parser.parse_args()
    os.chdir(tempfile.mkdtemp(prefix="campaign-"))
    drawn = sample(options.sample, options.seed)
    chosen = [case for case in drawn if options.only in case.function]
    counts: Counter[str] = Counter()
    for case in chosen:
        kind, seen = judge(case)
        counts[kind] += 1
        if kind in options.show:
            print(f"{kind:8} {case.function}({case.argument}={case.label}): {seen[:150]}")
    print(f"{len(chosen)} cases: " + ", ".join(f"{counts[k]} {k}" for k in sorted(counts)))
    sys.exit(bool(counts["hang"] + counts["silent"]))


if __name__ == "__main__":
    main()
