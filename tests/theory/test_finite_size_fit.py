"""Fits of the error over depth and width, on errors made to order."""

import numpy as np
import pytest

from mfpde.theory import fit_finite_size

LAYERS, WIDTH = (
    axis.ravel().astype(float) for axis in np.meshgrid([2, 8, 32], [1, 4, 64, 1024, 16384])
)
A, B = 0.3, 0.8


def made(form: str, noise: float = 0.0, seeds: int = 8) -> np.ndarray:
    power = {"sum": 1, "quadrature": 2}[form]
    exact = ((A / LAYERS) ** power + (B / np.sqrt(LAYERS * WIDTH)) ** power) ** (1 / power)
    rng = np.random.default_rng(0)
    return exact[:, None] * np.exp(noise * rng.standard_normal((len(exact), seeds)))


@pytest.mark.parametrize("form", ["sum", "quadrature"])
def test_exact_errors_give_their_coefficients(form):
    fit = fit_finite_size(LAYERS, WIDTH, made(form), form=form, resamples=5)
    assert (fit.a, fit.b) == pytest.approx((A, B), rel=1e-9)
    np.testing.assert_allclose(fit(LAYERS, WIDTH), made(form)[:, 0], rtol=1e-9)
    assert fit.exponent == pytest.approx(-0.5, abs=0.1)
    assert fit.depth_exponent == pytest.approx(-1.0, abs=0.1)
    assert fit.form == form


def test_intervals_hold_the_truth_and_shrink_with_seeds():
    few, many = (
        fit_finite_size(
            LAYERS, WIDTH, made("quadrature", 0.2, seeds), form="quadrature", resamples=200
        )
        for seeds in (8, 128)
    )
    for fit in (few, many):
        # the RMS of a lognormal factor exceeds its median by e^{σ²}
        assert fit.a_interval[0] <= A * np.exp(0.04) <= fit.a_interval[1]
    assert np.ptp(many.a_interval) < 0.5 * np.ptp(few.a_interval)


def test_the_fit_minimises_log_squares():
    errors = made("sum", 0.3)
    fit = fit_finite_size(LAYERS, WIDTH, errors, resamples=2)
    rms = np.sqrt(np.mean(errors**2, axis=1))

    def cost(a, b):
        return np.sum(np.log((a / LAYERS + b / np.sqrt(LAYERS * WIDTH)) / rms) ** 2)

    best = cost(fit.a, fit.b)
    for scale in (0.99, 1.01):
        assert cost(scale * fit.a, fit.b) > best
        assert cost(fit.a, scale * fit.b) > best


def test_exponents_are_nan_where_no_term_rules():
    layers, width = np.array([4.0, 4.0, 8.0, 8.0]), np.array([4.0, 8.0, 8.0, 16.0])
    errors = np.tile(1 / layers + 1 / np.sqrt(layers * width), (3, 1)).T
    fit = fit_finite_size(layers, width, errors, resamples=3)
    assert np.isnan(fit.exponent)
    assert np.isnan(fit.depth_exponent)
    assert np.all(np.isnan(fit.depth_exponent_interval))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"errors": -made("sum")}, "errors must be > 0"),
        ({"form": "product"}, "form must be one of 'sum', 'quadrature'"),
        ({"width": WIDTH[:3]}, "width must have shape"),
    ],
)
def test_bad_input(change, message):
    given = {"layers": LAYERS, "width": WIDTH, "errors": made("sum")} | change
    with pytest.raises(ValueError, match=message):
        fit_finite_size(**given)
