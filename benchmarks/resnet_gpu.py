"""One training step of finite networks by every engine, on a GPU or on one core of a processor.

A step is a full gradient and a step of gradient descent. Contenders alternate within one run; the
yardstick is the NumPy adjoint that authors publish (on a processor) or eager autograd (on a GPU).
Rates count what a step has to do whatever the engine: 12 d N L M floating-point operations, and
θ read twice and written once; ceilings are a large matrix product in the precision used and a
large copy, measured in the same rounds.

Cases: ``reference`` L = M = 1000, d = N = 10 (Chizat 2025; target on an H200: 100 steps in under
0.5 s), ``large`` L = 64, M = N = 4096, d = 64 (target: over 40 % of the matrix product's rate;
GPU only), ``many`` 64 seeds of a small network. ``--quick`` shrinks them to seconds.

    python benchmarks/resnet_gpu.py                      the GPU where there is one
    python benchmarks/resnet_gpu.py --device cpu --dtype float64 float32
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import harness
import numpy as np

import mfpde
from mfpde.resnet import engines
from mfpde.resnet.optimizers import GradientDescent

TARGET_SECONDS, TARGET_SHARE = 0.5, 0.4
CLAIMS = ("reference", "large")


class Case(NamedTuple):
    """S networks of L layers of width M on N data in R^d; ``steps`` of the timed run."""

    seeds: int
    data: int
    dim: int
    layers: int
    width: int
    steps: int = 0

    @property
    def operations(self) -> float:
        return 12.0 * self.dim * self.data * self.layers * self.width * self.seeds

    @property
    def parameters(self) -> int:
        return 2 * self.dim * self.layers * self.width * self.seeds

    def problem(self) -> mfpde.Problem:
        x, y = np.random.default_rng(0).standard_normal((2, self.data, self.dim))
        return mfpde.Problem(x, y, block=mfpde.SHL(self.dim, bias=False))

    def start(self) -> np.ndarray:
        """Chizat's initialisation: v of size √d, u/d of size 1/√d."""
        shape = (self.seeds, self.layers, self.width, 2 * self.dim)
        theta = np.random.default_rng(1).standard_normal(shape)
        theta[..., : self.dim] *= np.sqrt(self.dim)
        theta[..., self.dim :] /= np.sqrt(self.dim)
        return theta


FULL = {
    "reference": Case(1, 10, 10, 1000, 1000, 100),
    "large": Case(1, 4096, 64, 64, 4096),
    "many": Case(64, 32, 8, 32, 64),
}
QUICK = {
    "reference": Case(1, 10, 10, 60, 200, 20),
    "large": Case(1, 256, 64, 4, 256),
    "many": Case(16, 32, 8, 8, 32),
}


def published(case: Case, dtype: str) -> Any:
    """The step as authors write it in NumPy: σ kept, each layer updated when its turn comes."""
    problem, theta = case.problem(), case.start().astype(dtype)
    d, x, y = case.dim, problem.x.astype(dtype), problem.y.astype(dtype)
    scale, share = x.dtype.type(1 / (case.layers * case.width)), x.dtype.type(1 / d**2)
    networks = [
        (np.ascontiguousarray(one[..., :d]), np.ascontiguousarray(one[..., d:])) for one in theta
    ]

    def step() -> None:
        for u, w in networks:
            path, sigma = [x], []
            for k in range(case.layers):
                sigma.append(np.tanh(path[-1] @ w[k].T))
                path.append(path[-1] + scale * (sigma[-1] @ u[k]))
            p = (path[-1] - y) / x.dtype.type(case.data)
            for k in reversed(range(case.layers)):
                s = sigma[k]
                g = (p @ u[k].T) * (1 - s * s)
                du, dw = s.T @ p, g.T @ path[k]
                p = p + scale * (g @ w[k])
                u[k] -= du
                w[k] -= share * dw

    return step


def ours(case: Case, name: str, dtype: str, device: str) -> Any:
    """A step by one engine, ended when the device has done it."""
    engine = fresh(case, name, dtype, device)
    theta, rates = engine.load(case.start()), engine.rates(metric(case))
    spare = engine.load(case.start()) if hasattr(engine, "descend") else None
    state = {"theta": theta, "spare": spare}

    def step() -> None:
        if spare is not None:
            found = engine.descend(state["theta"], rates, None, state["spare"])
            state.update(theta=found.theta, spare=state["theta"])
        else:
            found = engine.gradient(state["theta"])
            args = (state["theta"], found.slope, (), None, 1, 1.0, rates)
            state["theta"] = GradientDescent().step(*args)[0]
        engine.numpy(found.loss)
        wait(device)

    return step


def fresh(case: Case, name: str, dtype: str, device: str) -> Any:
    """An engine; torch.compile forgets other shapes, or it would give up after eight of them."""
    if name == "compiled":
        import torch

        torch._dynamo.reset()
    return engines.make(case.problem(), name, dtype, device)


def metric(case: Case) -> np.ndarray:
    """Chizat's steps as rates of (u, w)."""
    return np.repeat([1.0, 1.0 / case.dim**2], case.dim)


def wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def ceilings(dtype: str, device: str, quick: bool) -> dict[str, Any]:
    """A large product of matrices in the precision used, and a large copy."""
    size = 512 if quick else (8192 if device == "cuda" else 2000)
    length = 1 << (22 if quick else (30 if device == "cuda" else 25))
    work = {"product": 2.0 * size**3, "copy": 2.0 * length * (8 if dtype == "float64" else 4)}
    if device == "cpu":
        a, b = np.ones((size, size), dtype), np.ones(length, dtype)
        c = np.empty_like(b)
        return {"work": work, "runs": {"product": lambda: a @ a, "copy": lambda: np.copyto(c, b)}}
    import torch

    from mfpde.resnet.engines.tensors import products

    kind = getattr(torch, {"tf32": "float32"}.get(dtype, dtype))
    wide = torch.float64 if dtype == "float64" else torch.float32
    left = torch.randn(size, size, device=device).to(kind)
    source = torch.randn(length, device=device).to(wide)
    target = torch.empty_like(source)

    def product() -> None:
        with products(dtype == "tf32"):
            left @ left
        wait(device)

    def copy() -> None:
        target.copy_(source)
        wait(device)

    return {"work": work, "runs": {"product": product, "copy": copy}}


def error(case: Case, name: str, dtype: str, device: str) -> float:
    """Largest difference of a gradient from float64's, over its largest entry."""
    reference = "adjoint" if device == "cuda" else "layers"
    exact, mine = (
        fresh(case, engine, kind, device)
        for engine, kind in ((reference, "float64"), (name, dtype))
    )
    start = case.start()
    a, b = (e.unload(e.gradient(e.load(start)).slope) for e in (exact, mine))
    return float(np.abs(a - b).max() / np.abs(a).max())


def measure(label: str, case: Case, dtype: str, given: Any) -> list[dict[str, Any]]:
    names = given.engines or engines.available(case.problem(), "auto", dtype, given.device)
    runs: dict[str, Any] = {}
    yardstick = "autograd"
    if given.device == "cpu":
        yardstick = "NumPy, published"
        runs[yardstick] = published(case, dtype)
        if not given.engines:
            names = [*names, *torch_names(case, dtype)]
    runs |= {name: ours(case, name, dtype, given.device) for name in names}
    limits = ceilings(dtype, given.device, given.quick)
    seconds = harness.alternate(
        runs | limits["runs"], given.rounds, clock=time.perf_counter if given.wall else None
    )
    rate = {name: limits["work"][name] / np.median(seconds[name]) for name in limits["runs"]}
    print(f"{label} {dtype} {case}", flush=True)
    print(f"  ceilings: {rate['product']:.3g} flop/s, {rate['copy']:.3g} bytes/s", flush=True)
    small = case._replace(layers=min(case.layers, 8), seeds=min(case.seeds, 2))
    width = 8 if dtype == "float64" else 4
    rows = []
    for name in runs:
        median = float(np.median(seconds[name]))
        row = {
            "case": f"{label} {dtype} {name}",
            "milliseconds": 1e3 * median,
            "ratio": harness.ratios(seconds.get(yardstick, seconds[name]), seconds[name]),
            "flop_rate": case.operations / median,
            "share": case.operations / median / rate["product"],
            "byte_rate": 3 * width * case.parameters / median,
            "error": error(small, name, dtype, given.device) if name in engines.ENGINES else 0.0,
        }
        rows.append(row)
        low, middle, high = row["ratio"]
        print(
            f"  {name:17s} {row['milliseconds']:9.2f} ms, {low:.2f} – {middle:.2f} – {high:.2f} x "
            f"{yardstick}; {row['flop_rate']:.3g} flop/s = {row['share']:.1%} of the product, "
            f"{row['byte_rate']:.3g} bytes/s = {row['byte_rate'] / rate['copy']:.1%} of the copy; "
            f"error {row['error']:.0e}",
            flush=True,
        )
    return rows


def torch_names(case: Case, dtype: str) -> list[str]:
    """What torch has for a processor, to be beaten there."""
    try:
        return engines.available(case.problem(), "torch", dtype, "cpu")
    except ImportError:
        return []


def reference_run(case: Case, name: str, dtype: str, device: str) -> float:
    """Seconds of a whole run, recording its loss every ten steps, after one that compiles."""

    def run() -> None:
        mfpde.resnet.train(
            case.problem(), start=start, s_end=case.steps, step=1.0, rates=metric(case),
            record=10, dtype=dtype, engine=name, device=device,
        )  # fmt: skip

    start, clock = case.start(), time.perf_counter if device == "cuda" else time.process_time
    run()
    begin = clock()
    run()
    return clock() - begin


def best(rows: list[dict[str, Any]]) -> str:
    """The engine with the shortest step."""
    mine = [row for row in rows if row["case"].split()[-1] in engines.ENGINES]
    return str(min(mine, key=lambda row: row["milliseconds"])["case"].split()[-1])


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=engines.DTYPES)
    parser.add_argument("--engines", nargs="+", choices=engines.ENGINES, help="default: all")
    parser.add_argument("--cases", nargs="+", default=list(FULL), choices=FULL)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="sizes that take seconds")
    given = parser.parse_args()
    if given.device == "auto":
        import torch

        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    given.wall = given.device == "cuda"
    return given


def main() -> None:
    given = arguments()
    print(harness.describe() | device_words(given.device))
    rows = []
    cases = QUICK if given.quick else FULL
    with harness.set_threads(1):
        for dtype in given.dtype:
            for label in given.cases:
                if label == "large" and given.device == "cpu" and not given.quick:
                    print("large is not measured on a processor: minutes a step")
                    continue
                found = measure(label, cases[label], dtype, given)
                rows += found
                verdict(label, cases[label], dtype, given, found)
    harness.record(f"resnet_{given.device}", rows, "ratio", "times as fast as the yardstick")


def verdict(label: str, case: Case, dtype: str, given: Any, rows: list[dict[str, Any]]) -> None:
    """What the targets say, and whether the rule of "auto" took the fastest engine."""
    name = best(rows)
    rule = engines.choose(case.problem(), "auto", "auto", dtype, given.device)
    print(f"  fastest: {name}; engine='auto' takes {rule}")
    on_target = given.device == "cuda" and not given.quick
    if case.steps:
        seconds = reference_run(case, name, dtype, given.device)
        target = f", target {TARGET_SECONDS} s" if on_target else ""
        print(f"  {case.steps} steps of train: {seconds:.2f} s{target}", flush=True)
    if label == "large" and on_target:
        share = max(row["share"] for row in rows)
        print(f"  {share:.0%} of the matrix product's rate, target {TARGET_SHARE:.0%}")


def device_words(device: str) -> dict[str, Any]:
    if device == "cpu":
        return {"device": "one core"}
    import torch

    return {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


if __name__ == "__main__":
    main()
