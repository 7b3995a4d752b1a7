"""A trained torch network as a measure: the same outputs, the same loss, the same gradient."""

import numpy as np
import pytest

import mfpde

torch = pytest.importorskip("torch")

L, M, D = 5, 7, 3
SCALE = 0.3


class Block(torch.nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.inner = torch.nn.Linear(D, M, bias=bias)
        self.outer = torch.nn.Linear(M, D, bias=False)

    def forward(self, x):
        return x + SCALE * self.outer(torch.nn.functional.gelu(self.inner(x)))


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradient_are_the_networks(bias):
    torch.manual_seed(0)
    blocks = torch.nn.Sequential(*(Block(bias) for _ in range(L))).double()
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 9, D))
    problem = mfpde.Problem(x, y, block=mfpde.SHL(D, "gelu", bias=bias))
    rho = mfpde.ParticleMeasure.from_network(blocks, scale=SCALE)
    assert rho.theta.shape == (L, M, 2 * D + bias)

    out = blocks(torch.tensor(x))
    np.testing.assert_allclose(mfpde.predict(problem, rho), out.detach(), rtol=1e-13, atol=1e-14)
    loss = 0.5 * (out - torch.tensor(y)).square().sum(dim=1).mean()
    loss.backward()
    assert mfpde.loss(problem, rho) == pytest.approx(loss.item(), rel=1e-14)
    found = mfpde.gradient(problem, rho)
    for k, block in enumerate(blocks):  # L·M times the slope in w, 1/scale of the slope in W₂
        np.testing.assert_allclose(found[k, :, D : 2 * D], L * M * block.inner.weight.grad)
        np.testing.assert_allclose(found[k, :, :D], block.outer.weight.grad.T / SCALE)


def test_a_network_of_another_form_is_refused():
    linear = torch.nn.Linear
    for module, text in (
        ([linear(D, M)], "found 1 linear layers"),
        ([linear(D, M), linear(M, D)], "the second layer of block 0 has a bias"),
        ([linear(D, M), linear(M, 2)], r"block 0 must lead from R\^d to R\^M and back"),
        ([*Block(True).children(), linear(D, 2), linear(2, D, bias=False)], "one shape"),
    ):
        with pytest.raises(ValueError, match=text):
            mfpde.ParticleMeasure.from_network(torch.nn.Sequential(*module))
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module; given None"):
        mfpde.ParticleMeasure.from_network(None)
