"""A problem means its data: labels, other data, and arrays that stay the caller's own."""

import numpy as np
import pytest
from problems import gaussian_measure

import mfpde

X = np.random.default_rng(0).standard_normal((6, 2))
LABELS = np.array([0, 1, 2, 2, 1, 0])


def classes(y=LABELS, x=X):
    return mfpde.Problem(x, y, block=mfpde.SHL(4), loss="cross_entropy", readout="last")


def test_labels_of_every_kind_are_the_same_rows():
    rows = np.eye(3)[LABELS]
    for y in (LABELS, LABELS.astype(np.uint8), LABELS.tolist(), rows):
        np.testing.assert_array_equal(classes(y).y, rows)
    flags = LABELS == 1
    np.testing.assert_array_equal(classes(flags).y, np.eye(2)[flags.astype(int)])
    np.testing.assert_array_equal(classes(np.zeros(6, bool)).y[:, 0], 1.0)


def test_other_data_that_lack_a_class_keep_the_classes():
    problem = classes()
    some = LABELS < 2
    other = problem.on(X[some], LABELS[some])
    assert (other.size, other.outputs) == (4, 3)
    rho = gaussian_measure(problem, mfpde.Depth(2, "rk4"))
    z = mfpde.predict(problem, rho)[some]
    np.testing.assert_array_equal(mfpde.predict(other, rho), z)
    plain = np.log(np.exp(z).sum(axis=1)) - z[np.arange(4), LABELS[some]]
    assert mfpde.loss(other, rho) == pytest.approx(plain.mean(), rel=1e-12)
    assert problem.size == 6
    with pytest.raises(ValueError, match="y must hold class labels below 3; the largest is 3"):
        problem.on(X[:1], [3])


def test_other_data_keep_embedding_terms_and_loss():
    problem = mfpde.Problem(
        X,
        X[:, :1],
        block=mfpde.SHL(2),
        embed=np.diag([2.0, 3.0]),
        weight_decay=0.1,
        weights=[1] * 6,
    )
    other = problem.on(X[:3], X[:3, 0], weights=[1.0, 2.0, 3.0])
    np.testing.assert_array_equal(other.start(), X[:3] * [2.0, 3.0])
    np.testing.assert_allclose(other.weights, [0.5, 1.0, 1.5])
    assert problem.on(X[:3], X[:3, 0]).weights is None
    assert other.weight_decay == 0.1
    assert not other.y.flags.writeable
