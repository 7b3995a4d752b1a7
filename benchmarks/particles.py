"""One full gradient of an SHL network: this package against NumPy, torch and JAX, alternating.

Sizes (N, d, L, M): A (256, 2, 50, 1000), C (512, 10, 40, 500), D (1024, 64, 32, 512); Euler in
depth, tanh, squared loss. Claims in float64: at least 4.5 (A), 2.4 (C) and 1.3 (D) times as fast
as the best peer, at one thread. Also printed: the fraction of the roofline, that is of the time
which N·L·M tanh and 12·d·N·L·M floating-point operations take at the rates of this package's
tanh and of BLAS, measured in the same rounds. Minutes; run once for each number of threads.
"""

from __future__ import annotations

import harness
import numpy as np

import mfpde
from mfpde.kernels import activate

SIZES = {"A": (256, 2, 50, 1000), "C": (512, 10, 40, 500), "D": (1024, 64, 32, 512)}
VALUES = np.random.default_rng(0).standard_normal(1 << 13)


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


def torch_peers(arrays):
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


def contenders(size, dtype):
    """Every way to the same gradient, and the rates the roofline is made of."""
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
    runs = ours | {"numpy": lambda: numpy_gradient(*arrays)} | torch_peers(arrays)
    try:
        runs |= jax_peers(arrays)
    except ImportError:
        print("  jax not measured: not installed")
    values, out = VALUES.astype(dtype), np.empty(len(VALUES), dtype)
    square = rng.standard_normal((1000, 1000)).astype(dtype)
    runs["tanh"] = lambda: [activate.sigma_chunk(activate.TANH, values, out) for _ in range(100)]
    runs["gemm"] = lambda: square @ square
    exact = numpy_gradient(*(v.astype(float) for v in arrays))
    exact = layers * width * np.concatenate([*exact[:2], exact[2][:, :, None]], axis=2)
    error = np.abs(runs["mfpde"]() - exact).max() / np.abs(exact).max()
    return runs, float(error)


def measure(size, dtype, rounds, threads):
    n, d, layers, width = SIZES[size]
    runs, error = contenders(size, dtype)
    seconds = harness.alternate(runs, rounds, threads)
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    tanh = 100 * VALUES.size / median.pop("tanh") * threads
    gemm = 2e9 / median.pop("gemm")
    evaluations = n * layers * width
    roofline = evaluations / tanh + 12 * d * evaluations / gemm
    peers = {name: value for name, value in median.items() if name != "mfpde"}
    best = min(peers, key=peers.__getitem__)
    return {
        "case": f"{size} {np.dtype(dtype).name}, {threads} threads",
        "milliseconds": {name: 1e3 * value for name, value in median.items()},
        "best": best,
        "ratio": harness.ratios(seconds[best], seconds["mfpde"]),
        "error": error,
        "roofline": roofline / median["mfpde"],
        "tanh_rate": tanh,
        "flop_rate": gemm,
    }


if __name__ == "__main__":
    given = harness.options(__doc__, 7)
    rows = []
    with harness.set_threads(given.threads):
        for dtype in (np.float64, np.float32):
            for size in SIZES:
                row = measure(size, dtype, given.rounds, given.threads)
                rows.append(row)
                times = ", ".join(f"{k} {v:.1f}" for k, v in row["milliseconds"].items())
                low, middle, high = row["ratio"]
                print(f"{row['case']}: {times} ms")
                print(
                    f"  {low:.2f} – {middle:.2f} – {high:.2f} times as fast as {row['best']}, "
                    f"{row['roofline']:.0%} of the roofline, error {row['error']:.1e}",
                    flush=True,
                )
    harness.record(f"particles_{given.threads}", rows, "ratio", "times as fast as the best peer")
