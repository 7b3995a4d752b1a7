"""Waves in the depths of blocks: where the free depth of Lu et al. 2020 is unstable, and how fast.

Theorem. ∂_t V(t, ·) = Cρ(t, ·) is local in depth, C the antisymmetric kernel of commutators. Where
it vanishes although blocks do not commute, as at every law with ∫ f dρ = 0 (the usual start), a
disturbance of the depths of wave number k grows like e^{kμs/β²}, μ the spectral radius of C, up to
k ~ 1/window, since neighbours can be exchanged to advantage at every scale: the window is part of
the model.

Here. Four types of u tanh(w x), of mean zero at every depth, disturbed by standing waves
sin(π mode t), which grow like cosh. Prediction: the rates, to 10 %, for waves of 4 windows and
more, and no growth at 2 windows. Takes ten seconds on one core, --quick three.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import study
from numpy.typing import NDArray
from study import Claim, Sizes

import mfpde

Array = NDArray[np.float64]

TYPES = np.array([[1.0, 0.5], [-1.0, 0.5], [1.0, 3.0], [-1.0, 3.0]])  # (u, w), of mean zero
BETA = 0.02  # depth moves fast, θ stands still


def commutators(problem: mfpde.Problem) -> Array:
    """C_ab/4 = (1/4N) Σ_i P_i (f_a′ f_b − f_b′ f_a)(x_i): X and P are constant in depth."""
    x, residual = problem.x, problem.x - problem.y
    value = problem.block.value(x, TYPES)[:, :, 0]
    slope = problem.block.pull_state(x, TYPES, np.ones_like(x))[:, :, 0]
    half = np.einsum("i,ia,ib->ab", residual[:, 0], slope, value) / problem.size
    out: Array = (half - half.T) / len(TYPES)
    return out


def growth(mode: int, window: float, layers: int) -> tuple[float, float]:
    """Predicted and measured rate of a disturbance sin(π mode t) of the depths.

    A standing wave grows like cosh(rate s), whatever its direction in the plane of the two
    eigenvectors. It is followed over one and a half e-foldings: later, shorter waves that the ends
    and the finite number of blocks set off catch up. Layers of alternating order keep the
    undisturbed blocks nearly at rest.
    """
    problem, kinds = study.learning(0.5, 16, bias=False), len(TYPES)
    values, vectors = np.linalg.eig(commutators(problem))
    vector = vectors[:, values.imag.argmax()]
    vector *= abs(vector[0]) / vector[0]  # LAPACK leaves the phase open
    rate, s_end = np.pi * mode * values.imag.max() / BETA**2, 1.5
    kind = np.tile(np.r_[0:kinds, kinds - 1 : -1 : -1], layers // 2)
    t = (np.arange(layers * kinds) + 0.5) / (layers * kinds)
    direction = vector[kind].real
    moved = np.clip(t + 1e-4 * np.sin(np.pi * mode * t) * direction, 0.0, 1.0)
    ends = [
        mfpde.solve(
            problem,
            mfpde.JointMeasure(TYPES[kind], depths, beta=BETA, window=window),
            s_end=s_end / rate,
            method="rk4",
            step=0.05 / rate,
            progress=False,
        ).final.t
        for depths in (t, moved)
    ]
    first, last = (
        (np.cos(np.pi * mode * other) - np.cos(np.pi * mode * still)) @ direction
        for still, other in ((t, moved), ends)
    )
    return rate, rate * float(np.arccosh(max(last / first, 1.0))) / s_end


def measure(size: Sizes, out: Path) -> list[Claim]:
    grid = [(1 / cells, m) for cells in (8, 16, 32) for m in (cells // 4, cells // 2, cells)]
    rows = [(w, m, *growth(m, w, size.layers)) for w, m in grid]
    study.report(out / "growth.csv", ("window", "mode", "predicted", "measured"), rows)
    long = np.array([m * w < 0.6 for w, m in grid])
    share = np.array([measured / predicted for _, _, predicted, measured in rows])
    return [
        Claim(
            "Disturbances longer than the window grow at the rate kμ/β².",
            f"measured over predicted {share[long].min():.2f} to {share[long].max():.2f}.",
            bool(np.all(np.abs(share[long] - 1) < 0.1)),
        ),
        Claim(
            "Half a wave per window does not grow.",
            f"measured over predicted at most {share[~long].max():.2f}.",
            bool(np.all(share[~long] < 0.1)),
        ),
    ]


main = study.script(__doc__, measure, {"layers": 256}, {"layers": 128})

if __name__ == "__main__":
    sys.exit(main())
