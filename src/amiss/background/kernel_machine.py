"""Boundaries around normal vectors in a kernel's space: one-class SVM and support vector data description.

Both are one quadratic programme over weights a_i, one for each of n normal vectors (`solve_one_class`):

    minimise  a^T G a / 2   with   sum a = 1,   0 <= a_i <= 1 / (nu n)

**One-class SVM** (Schoelkopf et al. 2001): G is the kernel matrix K. The plane ``sum a_i k(x_i, x) = rho`` parts most
normal vectors from the origin.

**Support vector data description** (Tax and Duin 2004): the smallest sphere that holds most of them, with centre
``c = sum a_i phi(x_i)``. Its dual is to minimise ``a^T K a - sum a_i k(x_i, x_i)``. Since sum a = 1, the second term is
``a^T (k 1^T + 1 k^T) a / 2`` with k the diagonal of K, so the programme is the one above with

    G_ij = k(x_i, x_j) - (k(x_i, x_i) + k(x_j, x_j)) / 2 = -|phi(x_i) - phi(x_j)|^2 / 2.

This G is not positive semidefinite, but it is so along the plane sum a = const, which is all the solver walks in. Where
k(x, x) is constant (RBF), G is K minus a constant and the two methods have the same weights; with a polynomial kernel
they do not. With s = G a, the squared distance of x_i to the centre is ``a^T G a - 2 s_i``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from amiss.core.checks import check_choice, check_count
from amiss.core.errors import MissingExtraError
from amiss.statistics.kernel import KERNELS, Kernel, create_kernel

_TOLERANCE = 1e-6  # of the solver, for a matrix whose entries are about 1; scores are then good to 1e-7


@dataclass(frozen=True)
class Solution:
    """Of the programme above.

    Args:
        weights: a, (n,) float64; exactly 0 for vectors within the boundary.
        level: rho, the value of (G a)_i on the boundary.
        energy: a^T G a.
    """

    weights: Tensor
    level: float
    energy: float


def solve_one_class(gram: Tensor, nu: float) -> Solution:
    """Weights of the vectors on and outside of the boundary, by scikit-learn's sequential minimal optimisation.

    Args:
        gram: G (n, n), symmetric, positive semidefinite along sum a = const.
        nu: In (0, 1): at most this share of the vectors lies outside of the boundary, at least this share has weight.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Cost:
        About n^2 numbers of memory three times over; n to n^2 steps of n multiply-adds each: seconds for n = 4000.

    Example:
        >>> solution = solve_one_class(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 0.5)
        >>> solution.weights.tolist(), solution.level
        ([0.5, 0.5], 0.5)
    """
    try:
        from sklearn.svm import OneClassSVM
    except ModuleNotFoundError as error:
        raise MissingExtraError("learning this method needs scikit-learn; pip install 'amiss[fit]'") from error
    gram = gram.double()
    scale = float(gram.abs().mean()) or 1.0
    solver = OneClassSVM(kernel="precomputed", nu=nu, tol=_TOLERANCE)
    solver.random_state = 0  # draws nothing from it, but would from NumPy's global state without
    solver.fit((gram / scale).numpy())
    weights = torch.zeros(len(gram), dtype=torch.float64)
    weights[torch.from_numpy(solver.support_).long()] = torch.from_numpy(solver.dual_coef_[0])
    weights = weights / weights.sum()  # the solver's sum to nu n
    values = gram @ weights
    return Solution(weights, _level(weights, values, 1 / (nu * len(gram))), float(weights @ values))


def _level(weights: Tensor, values: Tensor, most: float) -> float:
    """(G a)_i of the vectors with a weight strictly between the bounds; without one, the middle of what is possible."""
    full = weights >= most * (1 - 1e-9)
    free = (weights > 0) & ~full
    if free.any():
        return float(values[free].mean())
    bounds = [float(values[full].max())] if full.any() else []
    bounds += [float(values[weights == 0].min())] if (weights == 0).any() else []
    return float(np.mean(bounds))


def sphere_gram(gram: Tensor) -> Tensor:
    """K (n, n) to the G of support vector data description: minus half the squared distances of the images."""
    lengths = gram.diagonal()
    return gram - (lengths[:, None] + lengths) / 2


class KernelMachine(nn.Module):
    """``sum of a_i k(x_i, x)`` over M support vectors x_i: plain arithmetic, as a part of a detector.

    Args:
        dimension: D.
        kernel: One of `amiss.statistics.kernel.KERNELS`.
        degree: Degree of the polynomial kernel.

    Raises:
        InputError: An unknown kernel, or a degree that is not a whole number of at least 1.

    Example:
        >>> machine = KernelMachine(1, kernel="polynomial", degree=2)
        >>> machine.take(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0.5, 0.0, 0.5]), gamma=torch.tensor(1.0))
        >>> machine(torch.tensor([[1.0]])), len(machine.vectors)
        (tensor([10.]), 2)
    """

    vectors: Tensor
    weights: Tensor
    gamma: Tensor

    def __init__(self, dimension: int, *, kernel: str, degree: int) -> None:
        super().__init__()
        self.name, self.degree = check_choice("kernel", kernel, KERNELS), check_count("degree", degree)
        self.register_buffer("vectors", torch.zeros(0, dimension))
        self.register_buffer("weights", torch.zeros(0))
        self.register_buffer("gamma", torch.ones(()))

    @property
    def kernel(self) -> Kernel:
        """The kernel with the gamma of now."""
        return create_kernel(self.name, self.gamma, self.degree)

    def take(self, vectors: Tensor, weights: Tensor, *, gamma: Tensor) -> None:
        """Be the sum over vectors (n, D) with weights (n,) from now on; those without weight are left out."""
        kept = weights != 0
        self.vectors, self.weights, self.gamma = vectors[kept].float(), weights[kept].float(), gamma.float()

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) to (...). M x D multiply-adds and M numbers a vector."""
        return self.kernel(vectors, self.vectors) @ self.weights
