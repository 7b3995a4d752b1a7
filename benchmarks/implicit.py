"""The implicit scheme beside its peers: work against precision, and time to a small loss.

Problem: sin 2πx at 32 points lifted to d = 2, tanh, Euler L = 16, M = 128, to s = 100 and 300 (and
L = M = 8, small enough for an implicit solver that forms the Jacobian of all parameters). Claims:
(1) the order chosen from rtol is about the cheapest at its accuracy; (2) explicit methods win while
the time is short beside their stability limit and lose beyond; (3) a loss of 1e-8 takes less
processor time than by gradient descent or Adam at their best constant step (1e-4: as by Adam).
Work is also given in gradients: processor time over that of one gradient of mfpde in the same
round. About four minutes on one thread; ``--full`` takes every tolerance for the dear contenders
too and lets descent go on for longer.
"""

from __future__ import annotations

import json
import time
from functools import partial

import harness
import numpy as np

import mfpde
from mfpde import laws
from mfpde.flows import dual, schemes

GOALS, RACES = (1e-4, 1e-8), 3
SIZES = {"small": (8, 8, 100.0), "standard": (16, 128, 100.0), "long": (16, 128, 300.0)}
TOLERANCES, TYPICAL = (1e-2, 1e-3, 1e-4), 1e-3
DEAR = {("small", "diffrax Kvaerno5"), ("long", "rk45")}  # tens of seconds at any tolerance
RTOLS = (3e-2, 1e-2)
STEPS = {"gd": (1.0, 2.0, 4.0), "Adam": (1e-1, 3e-1, 5e-1)}


def task(size: str) -> tuple[mfpde.Problem, mfpde.ParticleMeasure]:
    layers, width, _ = SIZES[size]
    x = np.linspace(-1, 1, 32)[:, None]
    problem = mfpde.Problem(x, np.sin(2 * np.pi * x), block=mfpde.SHL(2))
    law = laws.Gaussian(1.0, dim=5)
    return problem, mfpde.ParticleMeasure.from_law(law, mfpde.Depth(layers, "euler"), count=width)


def own(problem, rho0, s_end, rtol, method="implicit", table=None, dense=True):
    """E(s_end) and counts by mfpde, rows or conjugate gradients forced where asked."""
    rule, rows = schemes.late, dual.DENSE_ROWS
    if table:
        schemes.late = lambda rtol: schemes.table(table, 1.0)
    dual.DENSE_ROWS = rows if dense else 0
    try:
        run = mfpde.solve(problem, rho0, s_end=s_end, method=method, rtol=rtol)
    finally:
        schemes.late, dual.DENSE_ROWS = rule, rows
    names = ("kernels", "products", "gradients", "steps", "rejected")
    return run.loss[-1], {name: run.stats.get(name, 0) for name in names}


def network_loss(xp, problem, theta):
    """E of an Euler ResNet in NumPy's dialect of torch or jax.numpy."""
    y, x = (xp.asarray(v.copy()) for v in (problem.y, problem.start()))
    for layer in theta:
        u, w, b = layer[:, :2], layer[:, 2:4], layer[:, 4]
        x = x + xp.tanh(x @ w.T + b) @ u / (len(theta) * len(u))
    return 0.5 * ((x[:, :1] - y) ** 2).sum() / len(y)


def diffrax_solvers(problem, rho0, s_end):
    """One compiled solve per solver: rtol ↦ (E(s_end), steps)."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    scale = rho0.levels * rho0.count
    slope = jax.grad(partial(network_loss, jnp, problem))
    term = diffrax.ODETerm(lambda t, theta, args: -scale * slope(theta))

    def build(solver):
        @jax.jit
        def solve(theta, rtol):
            control = diffrax.PIDController(rtol=rtol, atol=1e-8)
            end = diffrax.diffeqsolve(
                term, solver, 0.0, s_end, None, theta,
                stepsize_controller=control, saveat=diffrax.SaveAt(t1=True), max_steps=100_000,
            )  # fmt: skip
            return network_loss(jnp, problem, end.ys[0]), end.stats["num_steps"]

        def run(rtol):
            loss, steps = solve(jnp.asarray(rho0.theta), rtol)
            return float(loss), {"steps": int(steps)}

        return run

    names = ["Tsit5", "Dopri5"] + ["Kvaerno5"] * (rho0.theta.size <= 1000)
    return {f"diffrax {name}": build(getattr(diffrax, name)()) for name in names}


def contenders(size, problem, rho0):
    """Name ↦ run; over the long time explicit peers would take many minutes and are left out."""
    s_end = SIZES[size][2]
    ours = partial(own, problem, rho0, s_end)
    tables = ((1, 2), (1, 2, 3), (1, 2, 3, 4), (2, 3, 4), (2, 3, 4, 5))
    runs = {f"rows {','.join(map(str, rows))}": partial(ours, table=rows) for rows in tables}
    runs |= {"implicit": ours, "implicit, no kernel": partial(ours, dense=False)}
    runs |= {name: partial(ours, method=name) for name in ("rk45", "auto")}
    if size == "long":
        return runs
    try:
        return runs | diffrax_solvers(problem, rho0, s_end)
    except ImportError:
        print("diffrax is not installed: its solvers are left out")
        return runs


def work_precision(size: str, rounds: int, threads: int, full: bool) -> list[dict]:
    problem, rho0 = task(size)
    exact = own(problem, rho0, SIZES[size][2], 1e-7, "rk45")[0]
    gradient = partial(mfpde.gradient, problem, rho0)
    rows = []
    for name, run in contenders(size, problem, rho0).items():
        if name.startswith("diffrax"):
            run(0.1)  # compiles
        for rtol in TOLERANCES if full or (size, name) not in DEAR else (TYPICAL,):
            found: list = []
            pair = {"run": lambda: found.append(run(rtol)), "one": lambda: many(gradient)}  # noqa: B023
            seconds = harness.alternate(pair, rounds, threads, warm=0)
            loss, counts = found[-1]
            worth = [50 * a / b for a, b in zip(seconds["run"], seconds["one"], strict=True)]
            rows.append({
                "case": f"{size}: {name}, rtol {rtol:g}", "size": size, "name": name, "rtol": rtol,
                "error": abs(loss / exact - 1), "seconds": harness.spread(seconds["run"]),
                "gradients_worth": harness.spread(worth), "counts": counts,
            })  # fmt: skip
            row = rows[-1]
            print(
                f"{row['case']:42s} error {row['error']:.1e}  {row['seconds'][1]:7.2f} s = "
                f"{row['gradients_worth'][1]:7.0f} gradients  {counts}", flush=True,
            )  # fmt: skip
    return rows


def many(call, count: int = 50) -> None:
    for _ in range(count):
        call()


def descend(
    problem, rho0, optimizer: str, step: float, most: int, goal: float
) -> tuple[float, int, float]:
    """Seconds, steps and last loss of torch's gradient descent or Adam until E <= goal."""
    import torch

    theta = torch.tensor(rho0.theta, requires_grad=True)
    scale = rho0.levels * rho0.count  # the mean-field learning rate, as in the flow
    kind = torch.optim.SGD if optimizer == "gd" else torch.optim.Adam
    method = kind([theta], lr=step * (scale if optimizer == "gd" else 1.0))
    begin = time.process_time()
    for count in range(most):  # noqa: B007  read after the loop
        method.zero_grad()
        loss = network_loss(torch, problem, theta)
        if not loss.item() > goal:
            break
        loss.backward()
        method.step()
    return time.process_time() - begin, count, loss.item()


def implicit_to(problem, rho0, rtol: float, goal: float) -> tuple[float, int, float]:
    """Seconds, steps and last loss of the implicit scheme until E <= goal."""
    begin = time.process_time()
    run = mfpde.solve(problem, rho0, s_end=np.inf, loss_below=goal, method="implicit", rtol=rtol)
    return time.process_time() - begin, run.control.steps, float(run.loss[-1])


def time_to_loss(most: int) -> list[dict]:
    """Every step of the ladder once; then, several times in turn, the best of each kind."""
    problem, rho0 = task("standard")
    runs = {("implicit", rtol): partial(implicit_to, problem, rho0, rtol) for rtol in RTOLS}
    for optimizer, steps in STEPS.items():
        for step in steps:
            runs[optimizer, step] = partial(descend, problem, rho0, optimizer, step, most)
    rows = []
    for goal in GOALS:
        best: dict[str, tuple[float, float]] = {}
        for (name, step), run in runs.items():
            seconds, count, loss = run(goal)
            row = {"name": name, "step": step, "goal": goal, "seconds": seconds}
            rows.append(row | {"steps": count, "loss": loss})
            reached = "" if loss <= goal else "  NOT REACHED"
            print(
                f"E <= {goal:g}: {name}, rtol or step {step:g}: {loss:.1e} in {count} steps, "
                f"{seconds:.2f} s{reached}",
                flush=True,
            )
            if loss <= goal:
                best[name] = min(best.get(name, (np.inf, 0.0)), (seconds, step))
        rows.append({"goal": goal, "over_implicit": compare(runs, best, goal)})
    return rows


def compare(runs: dict, best: dict[str, tuple[float, float]], goal: float) -> dict:
    """Seconds of each optimizer at its best step over those of the implicit scheme at its own."""
    seconds: dict[str, list[float]] = {name: [] for name in best}
    for _ in range(RACES):
        for name, (_, step) in best.items():
            seconds[name].append(runs[name, step](goal)[0])
    found = {
        name: harness.ratios(values, seconds["implicit"])
        for name, values in seconds.items()
        if name != "implicit"
    }
    for name, (low, middle, high) in found.items():
        print(f"E <= {goal:g}: {name} {low:.2f} – {middle:.2f} – {high:.2f} times as long")
    return found


def draw(rows: list[dict]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
    for axes, size in zip(panels, SIZES, strict=True):
        for k, name in enumerate(dict.fromkeys(r["name"] for r in rows if r["size"] == size)):
            mine = [r for r in rows if r["size"] == size and r["name"] == name]
            work = [r["gradients_worth"][1] for r in mine]
            axes.loglog(work, [r["error"] for r in mine], marker="osv^D<>Pd"[k % 9], label=name)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(
            title=f"{size}, s = {SIZES[size][2]:g}",
            xlabel="processor time over that of one gradient",
        )
    panels[0].set_ylabel("relative error of E")
    panels[0].legend(fontsize=7)
    harness.save(figure, "implicit")


def main() -> None:
    given = harness.options(__doc__, 1)
    with harness.set_threads(given.threads):
        print(f"{given.threads} thread(s), {harness.describe()}")
        mfpde.warmup()
        rows = []
        for size in SIZES:
            rows += work_precision(size, given.rounds, given.threads, given.full)
        races = time_to_loss(4000 if given.full else 2000)
    harness.OUT.mkdir(parents=True, exist_ok=True)
    report = {"machine": harness.describe(), "threads": given.threads, "rows": rows, "race": races}
    (harness.OUT / "implicit.json").write_text(json.dumps(report, indent=1))
    draw(rows)


if __name__ == "__main__":
    main()
