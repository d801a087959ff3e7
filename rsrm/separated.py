"""Separated representations: a target as a short sum of products of functions of single variables.

``z = sum_r prod_j f_rj(x_j)``, every f a polynomial: the canonical decomposition of a function of many variables, for
which the number of coefficients grows with the variables and not with their products (Beylkin, Garcke & Mohlenkamp,
SIAM J. Sci. Comput. 2009). Alternating least squares from a random start come near it, Levenberg-Marquardt over all
coefficients at once ends there. Of two variables there is a better start (:mod:`rsrm.separated_matrix`).
"""

import numpy as np

SWEEPS, STEPS = 12, 40
"""Sweeps of alternating least squares, and steps of Levenberg-Marquardt at most."""
RIDGE = 1e-6
DECAY = 0.7
"""Standard deviations of coefficients at the start fall so much, as a logarithm, from degree to degree."""


def factor_values(basis: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the values of all factors.

    Parameters
    ----------
    basis : float64[D, N, K]
        Values of K polynomials of every column.
    c : float64[T, D, K]
        Coefficients of the factors of T terms.

    Returns
    -------
    factors : float64[T, D, N]
    """
    return np.matmul(c.transpose(1, 0, 2), basis.transpose(0, 2, 1)).transpose(1, 0, 2)


def _others(factors: np.ndarray, j: int) -> np.ndarray:
    """Return the products of all factors but those of column j, float64[T, N]."""
    return np.delete(factors, j, axis=1).prod(axis=1)


def _design(factors: np.ndarray, basis: np.ndarray, j: int) -> np.ndarray:
    """Return the derivatives by the coefficients of column j, float64[N, T*K]."""
    others = _others(factors, j)
    return (others[:, :, None] * basis[j][None]).transpose(1, 0, 2).reshape(len(basis[j]), -1)


def _balanced(c: np.ndarray) -> np.ndarray:
    """Return the same terms with factors of equal size."""
    size = np.maximum(np.linalg.norm(c, axis=2), 1e-150)
    return c * (np.exp(np.log(size).mean(axis=1, keepdims=True)) / size)[:, :, None]


def start(basis: np.ndarray, z: np.ndarray, n_terms: int, rng: np.random.Generator) -> np.ndarray:
    """Return coefficients of `n_terms` terms after alternating least squares from a random start, float64[T, D, K]."""
    d, _, k = basis.shape
    c = rng.normal(size=(n_terms, d, k)) * np.exp(-DECAY * np.arange(k))
    c[:, :, 0] += 1.0
    factors = factor_values(basis, c)
    for _ in range(SWEEPS):
        for j in range(d):
            design = _design(factors, basis, j)
            gram = design.T @ design
            gram.flat[:: len(gram) + 1] += RIDGE * np.trace(gram) / len(gram) + 1e-300
            found = np.linalg.solve(gram, design.T @ z).reshape(n_terms, k)
            if j < d - 1:
                found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-150)
            c[:, j], factors[:, j] = found, found @ basis[j].T
    return c


def polished(basis: np.ndarray, z: np.ndarray, c: np.ndarray, tolerance: float = 1e-11) -> tuple[np.ndarray, float]:
    """Return ``(c, error)`` after Levenberg-Marquardt over all coefficients; the error in standard deviations of z.

    Raises
    ------
    numpy.linalg.LinAlgError
        If values have overflown.
    """
    c = _balanced(c)
    factors = factor_values(basis, c)
    r = factors.prod(axis=1).sum(axis=0) - z
    sse, aim, damping = float(r @ r), tolerance**2 * float(z @ z), 1e-3
    for _ in range(STEPS):
        if not sse > aim:
            break
        jacobian = np.stack([_design(factors, basis, j) for j in range(len(basis))], axis=1)
        jacobian = jacobian.reshape(len(z), -1)
        gram, gradient = jacobian.T @ jacobian, jacobian.T @ r
        level, before = np.trace(gram) / len(gram), sse
        for _ in range(6):
            damped = gram.copy()
            damped.flat[:: len(gram) + 1] += damping * level
            step = np.linalg.solve(damped, gradient).reshape(len(basis), len(c), -1).transpose(1, 0, 2)
            moved = factor_values(basis, c - step)
            rest = moved.prod(axis=1).sum(axis=0) - z
            if rest @ rest < sse:
                c, sse = _balanced(c - step), float(rest @ rest)
                factors, r = factor_values(basis, c), rest
                break
            damping *= 5.0
        if not sse < before:
            break
        damping = max(0.2 * damping, 1e-15)
        if sse > 0.999 * before and damping < 1e-6:
            break
    return c, float(np.sqrt(sse / len(z)) / np.std(z))


def raised(c: np.ndarray, degree: int) -> np.ndarray:
    """Return the same factors among polynomials of a higher degree."""
    return np.pad(c, ((0, 0), (0, 0), (0, degree + 1 - c.shape[2])))
