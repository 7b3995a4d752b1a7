"""The tangent kernel against autograd Jacobians, its products, its depth parts, its spectrum."""

import numpy as np
import pytest

import mfpde
from mfpde import theory
from mfpde.theory._kernel import KernelSpectrum


def small(method="euler", steps=3, seed=0, d=2, n=4, outputs=2, block=None):
    rng = np.random.default_rng(seed)
    block = block or mfpde.SHL(d, "tanh")
    depth = mfpde.Depth(steps, method)
    problem = mfpde.Problem(
        rng.standard_normal((n, d)), rng.standard_normal((n, outputs)), block=block
    )
    theta = 0.7 * rng.standard_normal((len(depth.nodes), 5, block.size))
    weights = rng.random((len(depth.nodes), 5)) + 0.2
    rho = mfpde.ParticleMeasure(theta, depth, weights / weights.sum(axis=1, keepdims=True))
    return problem, rho


def torch_outputs(problem, rho, theta):
    """The outputs by an independent Runge–Kutta loop on torch tensors, for SHL tanh."""
    torch = pytest.importorskip("torch")
    d, depth, tableau = problem.block.dim, rho.depth, rho.depth.tableau
    weights = torch.tensor(rho.weights)

    def slope(z, k):
        u, w, b = theta[k, :, :d], theta[k, :, d : 2 * d], theta[k, :, 2 * d]
        return torch.tanh(z @ w.T + b) @ (weights[k][:, None] * u)

    x = torch.tensor(problem.start())
    for step in range(depth.steps):
        slopes = []
        for i in range(tableau.stages):
            moves = [c * s for c, s in zip(tableau.a[i], slopes, strict=False)]
            z = x + depth.step * sum(moves, torch.zeros_like(x))
            slopes.append(slope(z, depth.stage_nodes[step, i]))
        x = x + depth.step * sum(c * s for c, s in zip(tableau.b, slopes, strict=True))
    return (x @ torch.tensor(problem.readout).T).ravel()


@pytest.mark.parametrize("method", ["euler", "heun", "rk4"])
def test_kernel_equals_autograd_jacobian_in_the_cot_metric(method):
    torch = pytest.importorskip("torch")
    problem, rho = small(method)
    jacobian = torch.autograd.functional.jacobian(
        lambda theta: torch_outputs(problem, rho, theta), torch.tensor(rho.theta)
    ).numpy()
    mass = (rho.depth.weights[:, None] * rho.weights)[:, :, None]
    rows = (jacobian / np.sqrt(mass)).reshape(len(jacobian), -1)
    assert np.abs(theory.tangent_kernel(problem, rho) - rows @ rows.T).max() < 1e-12


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_products_without_the_matrix(method):
    problem, rho = small(method)
    operator, kernel = theory.tangent_operator(problem, rho), theory.tangent_kernel(problem, rho)
    assert np.abs(operator @ np.eye(len(kernel)) - kernel).max() < 1e-12


def test_gradient_norm_is_a_quadratic_form_of_either_kernel():
    problem, rho = small()
    norm2 = rho.integrate(np.square(mfpde.gradient(problem, rho)).sum(axis=2))
    residual = (mfpde.predict(problem, rho) - problem.y).ravel() / problem.size
    assert residual @ theory.tangent_kernel(problem, rho) @ residual == pytest.approx(norm2, 1e-12)
    path = mfpde.trajectories(problem, rho).adjoint / problem.size
    parts = [
        path[k + 1].ravel() @ theory.depth_kernel(problem, rho, k) @ path[k + 1].ravel()
        for k in range(rho.levels)
    ]
    assert rho.depth.weights @ parts == pytest.approx(norm2, 1e-12)


def test_spectrum_sums_align_and_give_the_measured_rate():
    problem, rho = small()
    spectrum = theory.kernel_spectrum(problem, rho)
    kernel = theory.tangent_kernel(problem, rho)
    assert spectrum.eigenvalues.sum() == pytest.approx(np.trace(kernel) / problem.size, rel=1e-12)
    assert np.all(np.diff(spectrum.eigenvalues) <= 0)
    assert spectrum.alignment.sum() == pytest.approx(1.0, rel=1e-12)
    measured = theory.polyak_lojasiewicz(problem, rho).measured
    assert spectrum.rate == pytest.approx(measured, rel=1e-10)
    some = theory.kernel_spectrum(problem, rho, largest=3)
    assert np.allclose(some.eigenvalues, spectrum.eigenvalues[:3], rtol=1e-9)
    assert np.allclose(some.alignment, spectrum.alignment[:3], rtol=1e-6, atol=1e-10)


def test_condition_of_a_singular_kernel_is_infinite():
    assert KernelSpectrum(np.array([1.0, 1e-20]), np.ones(2)).condition == np.inf
    assert KernelSpectrum(np.array([1.0, 0.5]), np.ones(2)).condition == 2.0


def test_duplicate_data_make_the_kernel_singular():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((2, 2)), 2, axis=0)
    problem = mfpde.Problem(x, rng.standard_normal((4, 1)), block=mfpde.SHL(2))
    _, rho = small()
    assert theory.kernel_spectrum(problem, rho).condition == np.inf
    assert theory.polyak_lojasiewicz(problem, rho).kernel < 1e-14


def test_evolution_along_a_run():
    problem, rho = small(outputs=1)
    sol = mfpde.solve(problem, rho, s_end=2.0, method="rk45", rtol=1e-6, save=4)
    evolution = theory.kernel_evolution(problem, sol, [0.0, 1.0, 2.0])
    assert evolution.drift[0] == 0.0
    assert np.all(np.diff(evolution.drift) > 0)
    end = theory.kernel_spectrum(problem, sol.final)
    assert np.allclose(evolution.eigenvalues[-1], end.eigenvalues, rtol=1e-10, atol=1e-14)


def test_wrong_input_is_named():
    problem, rho = small()
    with pytest.raises(ValueError, match="node"):
        theory.depth_kernel(problem, rho, 7)
    with pytest.raises(ValueError, match="largest"):
        theory.kernel_spectrum(problem, rho, largest=99)
