"""One full gradient of an SHL network: this package against NumPy, torch and JAX, alternating.

Sizes (N, d, L, M): A (256, 2, 50, 1000), C (512, 10, 40, 500), D (1024, 64, 32, 512); Euler in
depth, tanh, squared loss. Also printed: the fraction of the roofline, that is of the time which
N·L·M tanh and 12·d·N·L·M floating-point operations take at the rates of this package's tanh and of
BLAS, measured in the same rounds at the same number of threads; and, on several threads, how much
faster than on one these two loops are: threads that share vector units gain nothing. Run once for
each number of threads. About two minutes on one, one on two (float64 only); ``--full`` adds float32
on several threads and torch.compile, which compiles for minutes.
"""

from __future__ import annotations

import harness
import numba
import numpy as np
from threadpoolctl import ThreadpoolController

import mfpde
from mfpde.kernels import activate, pools

SIZES = {"A": (256, 2, 50, 1000), "C": (512, 10, 40, 500), "D": (1024, 64, 32, 512)}
VALUES = np.random.default_rng(0).standard_normal(pools.PARALLEL_FROM)


def numpy_gradient(x, y, u, w, b):
    """Forward and hand-written adjoint: the gradient of Σ|X − y|²/2N in (u, w, b)."""
    layers, width = u.shape[:2]
    scale = x.dtype.type(1 / (layers * width))
    path, sigma = [x], []
    for k in range(layers):
        s = path[-1] @ w[k].T
        s += b[k]
        np.tanh(s, out=s)
        sigma.append(s)
        path.append(path[-1] + scale * (s @ u[k]))
    p = (path[-1] - y) / x.dtype.type(len(x))
    du, dw, db = np.empty_like(u), np.empty_like(w), np.empty_like(b)
    for k in reversed(range(layers)):
        s = sigma[k]
        g = p @ u[k].T
        g *= 1 - s * s
        du[k] = scale * (s.T @ p)
        dw[k] = scale * (g.T @ path[k])
        db[k] = scale * g.sum(axis=0)
        p = p + scale * (g @ w[k])
    return du, dw, db


def torch_peers(arrays, full):
    import torch

    x, y, *parameters = (torch.from_numpy(v) for v in arrays)
    layers, width = parameters[0].shape[:2]
    scale = 1 / (layers * width)

    def loss(u, w, b):
        z = x
        for k in range(layers):
            z = z + scale * (torch.tanh(torch.addmm(b[k], z, w[k].T)) @ u[k])
        return 0.5 * (z - y).square().sum() / len(x)

    leaves = [p.clone().requires_grad_() for p in parameters]

    @torch.no_grad()
    def by_hand(u, w, b):
        path, sigma = [x], []
        for k in range(layers):
            sigma.append(torch.addmm(b[k], path[-1], w[k].T).tanh_())
            path.append(torch.addmm(path[-1], sigma[-1], u[k], alpha=scale))
        p = (path[-1] - y) / len(x)
        du, dw, db = torch.empty_like(u), torch.empty_like(w), torch.empty_like(b)
        for k in reversed(range(layers)):
            s = sigma[k]
            g = (p @ u[k].T).mul_(1 - s * s)
            du[k], dw[k], db[k] = scale * (s.T @ p), scale * (g.T @ path[k]), scale * g.sum(0)
            p = torch.addmm(p, g, w[k], alpha=scale)
        return du, dw, db

    def compiled():
        step = torch.compile(lambda *p: torch.autograd.grad(loss(*p), p))
        step(*leaves)
        return lambda: step(*leaves)

    peers = {
        "torch eager": lambda: torch.autograd.grad(loss(*leaves), leaves),
        "torch by hand": lambda: by_hand(*parameters),
    }
    if not full:
        return peers
    try:
        peers["torch compiled"] = compiled()
    except Exception as error:  # no compiler, or one this torch does not know
        print(f"  torch.compile not measured: {type(error).__name__}")
    return peers


def jax_peers(arrays):
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    x, y, *parameters = (jnp.asarray(v) for v in arrays)
    layers, width = parameters[0].shape[:2]
    scale = x.dtype.type(1 / (layers * width))

    def loss(parameters):
        def layer(z, p):
            u, w, b = p
            return z + scale * (jnp.tanh(z @ w.T + b) @ u), None

        end = jax.lax.scan(layer, x, parameters)[0]
        return 0.5 * jnp.square(end - y).sum() / len(x)

    step = jax.jit(jax.grad(loss))
    return {"jax": lambda: jax.block_until_ready(step(tuple(parameters)))}


def contenders(size, dtype, full):
    """Every way to the same gradient, and the error of ours."""
    n, d, layers, width = SIZES[size]
    rng = np.random.default_rng(0)
    u, w = rng.standard_normal((2, layers, width, d)).astype(dtype)
    b = rng.standard_normal((layers, width)).astype(dtype)
    x, y = rng.standard_normal((2, n, d)).astype(dtype)
    w /= dtype(np.sqrt(d))
    arrays = x, y, u, w, b
    theta = np.concatenate([u, w, b[:, :, None]], axis=2)
    problem = mfpde.Problem(x, y, block=mfpde.SHL(d))
    rho = mfpde.ParticleMeasure(theta, mfpde.Depth(layers, "euler"))
    ours = {"mfpde": lambda: mfpde.gradient(problem, rho)}
    runs = ours | {"numpy": lambda: numpy_gradient(*arrays)} | torch_peers(arrays, full)
    try:
        runs |= jax_peers(arrays)
    except ImportError:
        print("  jax not measured: not installed")
    exact = numpy_gradient(*(v.astype(float) for v in arrays))
    exact = layers * width * np.concatenate([*exact[:2], exact[2][:, :, None]], axis=2)
    error = np.abs(runs["mfpde"]() - exact).max() / np.abs(exact).max()
    return runs, float(error)


def limits(dtype, threads):
    """The two loops that the roofline is made of, on these threads and on one."""
    values, out = VALUES.astype(dtype), np.empty(VALUES.size, dtype)
    length = values.size if threads > 1 else 1 << 13  # one thread: what its own cache holds

    def tanh():
        if threads > 1:
            activate.values(activate.TANH, values)
        else:
            activate.sigma_chunk(activate.TANH, values[:length], out[:length])

    square = np.random.default_rng(1).standard_normal((1000, 1000)).astype(dtype)

    blas = ThreadpoolController()

    def on(count, run):
        def limited():
            numba.set_num_threads(count)
            with blas.limit(limits=count):
                run()
            numba.set_num_threads(threads)

        return limited

    loops = {
        "tanh": lambda: [tanh() for _ in range(10 * values.size // length)],
        "gemm": lambda: square @ square,
    }
    if threads == 1:
        return loops
    return loops | {f"{name} on one": on(1, run) for name, run in loops.items()}


def measure(size, dtype, rounds, threads, full):
    n, d, layers, width = SIZES[size]
    runs, error = contenders(size, dtype, full)
    loops = limits(dtype, threads)
    seconds = harness.alternate(runs | loops, rounds, threads)
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    tanh, gemm = 10 * VALUES.size / median["tanh"], 2e9 / median["gemm"]
    evaluations = n * layers * width
    roofline = evaluations / tanh + 12 * d * evaluations / gemm
    gain = {k: median[f"{k} on one"] / median[k] for k in ("tanh", "gemm") if threads > 1}
    median = {name: value for name, value in median.items() if name not in loops}
    peers = {name: value for name, value in median.items() if name != "mfpde"}
    best = min(peers, key=peers.__getitem__)
    return {
        "case": f"{size} {np.dtype(dtype).name}, {threads} thread(s)",
        "milliseconds": {name: 1e3 * value for name, value in median.items()},
        "best": best,
        "ratio": harness.ratios(seconds[best], seconds["mfpde"]),
        "over_each": {name: harness.ratios(seconds[name], seconds["mfpde"]) for name in peers},
        "error": error,
        "roofline": roofline / median["mfpde"],
        "tanh_rate": tanh,
        "flop_rate": gemm,
        "gain_by_threads": gain,
    }


def show(row):
    times = ", ".join(f"{k} {v:.1f}" for k, v in row["milliseconds"].items())
    low, middle, high = row["ratio"]
    print(f"{row['case']}: {times} ms")
    print(
        f"  {low:.2f} – {middle:.2f} – {high:.2f} times as fast as {row['best']}, "
        f"{row['roofline']:.0%} of the roofline (tanh {row['tanh_rate'] / 1e9:.2f} G/s, "
        f"gemm {row['flop_rate'] / 1e9:.0f} Gflop/s), error {row['error']:.1e}",
        flush=True,
    )
    for name, gain in row["gain_by_threads"].items():
        print(f"  {name}: {gain:.2f} times as fast as on one thread")


if __name__ == "__main__":
    given = harness.options(__doc__, 5)
    rows = []
    dtypes = (np.float64, np.float32) if given.threads == 1 or given.full else (np.float64,)
    with harness.set_threads(given.threads):
        for dtype in dtypes:
            for size in SIZES:
                rows.append(measure(size, dtype, given.rounds, given.threads, given.full))
                show(rows[-1])
    harness.record(f"particles_{given.threads}", rows, "ratio", "times as fast as the best peer")
