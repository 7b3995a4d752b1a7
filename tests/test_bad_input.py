"""Each class of bad input gets one error that names the argument and what is allowed."""

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde import laws

X, Y = np.zeros((4, 2)), np.zeros((4, 1))
SHL = mfpde.SHL(2)
DEPTH = mfpde.Depth(2, "euler")
THETA = np.zeros((2, 3, 5))
NAN = np.full((4, 2), np.nan)


def problem(**how):
    return mfpde.Problem(how.pop("x", X), how.pop("y", Y), block=how.pop("block", SHL), **how)


def measure(theta=THETA, depth=DEPTH, **how):
    return mfpde.ParticleMeasure(theta, depth, **how)


def from_law(law=None, **how):
    law = law or laws.Gaussian(1.0, dim=5)
    return mfpde.ParticleMeasure.from_law(law, DEPTH, **{"count": 8, **how})


def solve(**how):
    task = sine(6)
    rho0 = how.pop("rho0", None) or gaussian_measure(task, DEPTH)
    return mfpde.solve(task, rho0, **{"s_end": 1.0, **how})


CASES = [
    (lambda: problem(x=np.zeros(4)), r"x must have shape \(N, d_in\); given \(4,\)"),
    (lambda: problem(x=NAN), "x must be finite; 8 of its 8 entries are NaN or inf"),
    (lambda: problem(x="abc"), "x must be an array of numbers"),
    (lambda: problem(y=np.zeros(3)), "y must have as many rows as x, 4; given 3"),
    (lambda: problem(x=np.zeros((4, 3))), r"embed='pad' needs block.dim >= 3"),
    (lambda: problem(embed=np.eye(3)), r"embed must have shape \(2, 2\); given \(3, 3\)"),
    (
        lambda: problem(embed="pda"),
        r"embed must be 'pad' or an array \(2, 2\); given 'pda'; did you mean 'pad'",
    ),
    (lambda: problem(readout="frist"), "did you mean 'first'"),
    (lambda: problem(y=np.zeros((4, 3))), "readout='first' needs block.dim >= 3"),
    (lambda: problem(loss="squraed"), "did you mean 'squared'"),
    (lambda: problem(loss="cross_entropy"), "y must hold class labels, or rows >= 0 with sum 1"),
    (lambda: problem(y=-np.ones(4, int), loss="cross_entropy"), "class labels >= 0"),
    (lambda: problem(y=np.array([0, 5, 5, 0]), loss="cross_entropy"), "it holds 0, 5. Number the"),
    (lambda: problem(y=np.array([0, 40_000, 1, 2]), loss="cross_entropy"), "from 0 to 40000; it"),
    (lambda: problem(y=np.arange(4), loss="cross_entropy"), "names 4 classes; .* at most 2"),
    (lambda: problem(y=np.zeros(4, int), loss="cross_entropy"), "names 1 classes"),
    (lambda: problem(y=np.ones(4), loss="cross_entropy"), r"class labels; given float64: use y.as"),
    (lambda: problem(y=np.ones((4, 1)), loss="cross_entropy"), "must name two classes or more"),
    (lambda: problem(y=np.array([0, 1, 1, 0]), loss="logistic"), "one column of −1 and 1"),
    (lambda: problem(y=np.eye(2, 4, dtype=int)[:1].T, loss="cross_entropy"), r"are y\[:, 0\]"),
    (lambda: problem(y=np.zeros((4, 0))), r"y must not be empty; given shape \(4, 0\)"),
    (lambda: problem(x=X + 1j), "x must be an array of numbers; given complex, an array"),
    (lambda: problem(y=Y + 0j), "y must be an array of numbers; given complex, an array"),
    (lambda: problem(x=np.zeros((4, 2), "M8[D]")), "given dates"),
    (lambda: problem(x=np.zeros((4, 2), [("a", float)])), "given records"),
    (lambda: problem(x=np.ma.masked_less(X - 1, 0)), "x must not have masked entries"),
    (lambda: problem(y=np.ma.masked_less(Y - 1, 0)), "y must not have masked entries"),
    (
        lambda: problem(x=np.zeros((0, 2)), y=np.zeros((0, 1))),
        r"x must not be empty; given shape \(0, 2\)",
    ),
    (lambda: problem(weights=np.ones(3)), r"weights must have shape \(4,\); given \(3,\)"),
    (lambda: problem(weights=[1, 1, 1, 0]), "weights must be positive; the smallest is 0"),
    (lambda: problem().on(np.zeros((3, 1)), np.zeros(3)), r"x must have shape \(N, 2\)"),
    (lambda: problem().on(X, np.zeros((4, 2))), "y must have 1 columns; given 2"),
    (lambda: mfpde.SHL(2, bias="false"), "bias must be True or False; given 'false'"),
    (lambda: problem(weight_decay=-1), "weight_decay must be finite and >= 0; given -1"),
    (lambda: problem(block="shl"), "block must be a Block; given 'shl'"),
    (lambda: mfpde.SHL(0), "SHL dim must be a whole number >= 1 and <= 1048576; given 0"),
    (lambda: mfpde.SHL(2, "tanhh"), "did you mean 'tanh'"),
    (lambda: mfpde.Depth(0), "Depth steps must be a whole number >= 1"),
    (
        lambda: mfpde.Depth(2, "rk"),
        "Depth method must be one of 'euler', 'heun', 'rk4', 'midpoint'",
    ),
    (lambda: measure(np.zeros((3, 3, 5))), r"theta must have shape \(2, M, p\); given \(3, 3, 5\)"),
    (lambda: measure(np.zeros((2, 0, 5))), "theta must not be empty"),
    (lambda: measure(THETA + np.inf), "theta must be finite"),
    (lambda: measure(depth=3), "depth must be a Depth; given 3"),
    (lambda: measure(dtype=np.int64), "dtype must be one of 'float32', 'float64'"),
    (lambda: measure(weights=np.ones((2, 2))), r"weights must have shape \(2, 3\)"),
    (lambda: measure(weights=[-1, 1, 1]), "weights must be >= 0; the smallest given is -1"),
    (lambda: measure(weights=[0, 0, 0]), "weights must sum to 1 at each depth"),
    (lambda: from_law(rule="sobl"), "did you mean 'sobol'"),
    (lambda: from_law(coupling="free"), "coupling must be one of 'tied', 'independent'"),
    (lambda: from_law(count=0), "count must be a whole number >= 1"),
    (lambda: from_law(count=8, rule="gauss"), "use count >= 32 or rule='sobol'"),
    (lambda: from_law(count=32, rule="gauss", coupling="independent"), "deterministic"),
    (lambda: from_law(law=lambda t: 3.0), r"law\(0\) must return a Law; it returned float"),
    (lambda: from_law(law="gaussian"), "law must be a Law or a function; given 'gaussian'"),
    (lambda: laws.Gaussian([-1.0]), "Gaussian std must be >= 0"),
    (lambda: laws.Uniform([1.0], [0.0]), "Uniform low must be below high"),
    (lambda: laws.Gaussian([1.0, 2.0], dim=3), "law std must be a number or have 3 entries"),
    (lambda: laws.Product(3), r"laws\[0\] must be a Law; given 3"),
    (lambda: solve(s_end=-1), "s_end must be finite and > 0; given -1"),
    (lambda: solve(s_end=np.inf), "s_end=inf needs loss_below"),
    (lambda: solve(s_end=np.nan), "s_end must be a number; given nan"),
    (lambda: solve(method="implict"), "did you mean 'implicit'"),
    (lambda: solve(rtol=0), "rtol must be finite and > 0"),
    (lambda: solve(rtol=7), r"rtol must be in \[1e-13, 1\]; given 7"),
    (lambda: solve(method="implicit", step=0.1), "step must be None with method="),
    (lambda: solve(method="gd", step=-0.1), "step must be finite and > 0; given -0.1"),
    (lambda: solve(save=[2.0]), r"save times must lie in \[0, s_end=1\]"),
    (
        lambda: solve(save="all"),
        "save must be a number of times, a list of times, 'steps' or None; given 'all'",
    ),
    (lambda: solve(loss_below=-1), "loss_below must be finite and > 0"),
    (lambda: solve(progress="yes"), "progress must be True, False or 'auto'"),
    (lambda: solve(max_steps=0), "max_steps must be a whole number >= 1"),
    (lambda: solve(rho0=measure(np.zeros((2, 3, 7)))), "p = 5; given p = 7"),
    (
        lambda: mfpde.loss(problem(), "rho"),
        "rho must be a Measure; given 'rho'",
    ),
    (lambda: mfpde.predict(problem(), measure(), np.zeros((4, 3))), r"x must have shape \(N, 2\)"),
    (
        lambda: mfpde.first_variation(problem(), measure(), np.zeros((4, 3))),
        r"theta must have shape \(2, n, 5\); given \(2, 4, 3\)",
    ),
]


@pytest.mark.parametrize(("call", "message"), CASES, ids=[message for _, message in CASES])
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_run_is_not_resumed_to_a_time_that_steps_cannot_reach(tmp_path):
    problem = sine(4)
    rho = gaussian_measure(problem, mfpde.Depth(1), count=4)
    mfpde.solve(problem, rho, s_end=0.5, checkpoint=tmp_path / "run.h5")
    with pytest.raises(ValueError, match=r"s_end must be at most 1e\+15.*given 1e\+22"):
        mfpde.resume(tmp_path / "run.h5", s_end=1e22)
