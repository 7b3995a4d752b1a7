"""Each kind of argument has one check; numbers that overflow are errors, not results."""

import numpy as np
import pytest
from problems import gaussian_measure, sine

import mfpde
from mfpde import checks, data, laws, theory

MASKED = np.ma.masked_array([1.0, 2.0], mask=[True, False])
DATES = np.array(["2020-01-01"], "datetime64[D]")
RECORDS = np.zeros(2, [("a", float)])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (MASKED, "must not have masked entries"),
        (DATES, "given dates"),
        (DATES - DATES, "given time spans"),
        (RECORDS, "given records"),
        (np.array([1.0 + 1j]), "given complex"),
        (np.array([None]), "given objects"),
        (["1", "2"], "given text"),
        ([[1.0], [1.0, 2.0]], "inhomogeneous"),
        ([np.nan, 1.0], "1 of its 2 entries are NaN or inf"),
        ([10**400], "given objects|too large"),
    ],
)
def test_arrays_keep_their_meaning_or_are_refused(value, words):
    with pytest.raises((TypeError, ValueError), match=f"theta must.*({words})|{words}"):
        checks.array("theta", value)


def test_what_is_an_array_of_numbers():
    unmasked = np.ma.masked_array([1.0, 2.0], mask=False)
    for value in ([1, 2], (1.0, 2.0), np.array([1, 2], np.int8), unmasked, np.float32([1, 2])):
        np.testing.assert_array_equal(checks.array("x", value, ("n",)), [1.0, 2.0])


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, [1.0], np.ones(1), object()])
def test_what_is_no_number(value):
    with pytest.raises(TypeError, match="rtol must be a number; given"):
        checks.number("rtol", value)


def test_what_is_a_number():
    for value in (2, 2.0, np.float32(2), np.int64(2), np.array(2.0)):
        assert checks.number("rtol", value) == 2.0
    with pytest.raises(ValueError, match=r"below 1.8e308; given a whole number of 1329 bits"):
        checks.number("rtol", 10**400)


def test_seeds_flags_counts():
    with pytest.raises(ValueError, match="seed must be a whole number >= 0; given -1"):
        laws_of(seed=-1)
    with pytest.raises(ValueError, match="seed must be a whole number >= 0; given None"):
        laws_of(seed=None)
    with pytest.raises(TypeError, match="bias must be True or False; given 'false'"):
        mfpde.SHL(2, bias="false")
    with pytest.raises(ValueError, match="count must be a whole number >= 1; given a whole number"):
        checks.count("count", 10**30)
    with pytest.raises(TypeError, match="rtol must be a number; given True"):
        mfpde.solve(sine(), laws_of(), s_end=1.0, rtol=True)


def laws_of(**how):
    law = laws.Gaussian(1.0, dim=5)
    return mfpde.ParticleMeasure.from_law(law, mfpde.Depth(1), count=4, **how)


def test_memory_names_bytes_limit_and_remedy(monkeypatch):
    monkeypatch.setattr(checks, "memory_limit", lambda: 16e9)
    words = r"count = 10000000000 at 3 depths would take 3\.6 TB of memory; this machine has 16 GB"
    with pytest.raises(ValueError, match=words):
        mfpde.ParticleMeasure.from_law(
            laws.Gaussian(1.0, dim=5), mfpde.Depth(1), count=10_000_000_000
        )
    with pytest.raises(ValueError, match="labels of 100000 classes would take 80 GB"):
        data.one_hot(np.arange(100_000))


def test_a_signature_is_checked_by_its_annotations():
    @checks.typed
    def verb(
        depth: mfpde.Depth,
        box: np.ndarray | None = None,
        *names: str,
        s_end: float = 1.0,
        call: "laws.DepthLaw | None" = None,
    ) -> str:
        return "taken"

    depth = mfpde.Depth(1)
    assert verb(depth) == verb(depth, None, "a", s_end=np.inf, call=abs) == "taken"
    for arguments, words in (
        (((3,), {}), "depth must be a Depth; given 3"),
        (((depth, None, "a", 2), {}), r"names\[1\] must be text; given 2"),
        (((depth,), {"s_end": "1"}), "s_end must be a number; given '1'"),
        (((depth,), {"call": 3}), "call must be a function or None; given 3"),
        (((), {}), "verb: missing a required argument: 'depth'"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            verb(*arguments[0], **arguments[1])


def test_overflow_is_an_error():
    problem = sine(activation="relu")
    rho = gaussian_measure(problem, mfpde.Depth(2))
    huge = rho.with_state(1e200 * rho.theta)
    for verb, what in (
        (mfpde.predict, "the outputs"),
        (mfpde.loss, "the loss"),
        (mfpde.gradient, "the gradient"),
        (mfpde.first_variation, "the first variation"),
    ):
        with pytest.raises(ValueError, match=f"{what} overflowed: scale"):
            verb(problem, huge)
    with pytest.raises(ValueError, match=r"mu: theta must stay below 1e\+150"):
        mfpde.cot_distance(huge, rho)
    with pytest.raises(ValueError, match="its rows are all the same"):
        data.principal_components(np.ones((4, 3)), 2)
    with pytest.raises(ValueError, match=r"exp\(exponent\) overflowed"):
        theory.linear_multiplier(1e4)


def test_the_multiplier_of_many_layers_keeps_its_digits():
    """(1 + S/L)^L with S/L below rounding of 1: e^S to O(1/L)."""
    np.testing.assert_allclose(theory.linear_multiplier(1.0, steps=10**12), np.e, rtol=1e-11)
    np.testing.assert_allclose(theory.linear_multiplier([-3.0, 1.0], 2), [0.25, 2.25], rtol=1e-15)


def test_work_and_memory_are_estimated_before_anything_is_allocated():
    """Kernels of 200,000 rows, training times beyond any, and more steps than a life holds."""
    x = np.zeros((200_000, 1))
    problem = mfpde.Problem(x, x, block=mfpde.SHL(1))
    rho = mfpde.ParticleMeasure(np.ones((1, 2, 3)), mfpde.Depth(1, "euler"))
    for verb in (mfpde.theory.tangent_kernel, mfpde.theory.kernel_spectrum):
        with pytest.raises(ValueError, match=r"kernel of 200000 rows would take .* this machine"):
            verb(problem, rho)
    with pytest.raises(ValueError, match=r"s_end must be at most 1e\+15, or inf with loss_below"):
        mfpde.solve(problem, rho, s_end=1e300)
    with pytest.raises(ValueError, match="more than 1000000000 steps"):
        mfpde.solve(problem, rho, s_end=1e10, step=1e-3, method="gd")
