"""Normal distributions, of numbers, vectors and matrices."""

import jax
import jax.numpy as jnp
from numpyro import distributions as nd

from varinf.distributions._diag_normal import MultivariateNormalDiag
from varinf.distributions._excess import excess, log_ratio
from varinf.distributions._from_arrays import solve_lower
from varinf.distributions._kl._registry import grouped_rule, rule
from varinf.distributions._low_rank_normal import LowRankMultivariateNormal
from varinf.distributions._tril_normal import MultivariateNormalTriL

_LOW_RANK = (LowRankMultivariateNormal, nd.LowRankMultivariateNormal)
_TRIL = (MultivariateNormalTriL, nd.MultivariateNormal)


def _from_ratio(log, square):
    """½ (r + s² − 1 − ln r) of variances of ratio r, given ln r, and of a shift of s standard deviations of p."""
    return 0.5 * (excess(log) + square)


def _scalar(q_loc, q_scale, p_loc, p_scale):
    # in every step of a fit: the digits that `excess` keeps are not worth its time here
    ratio, shift = q_scale / p_scale, (q_loc - p_loc) / p_scale
    return 0.5 * (ratio**2 - 1 + shift**2) - jnp.log(ratio)


@rule(nd.Normal)
def _(q, p):
    return _scalar(q.loc, q.scale, p.loc, p.scale)


@grouped_rule(MultivariateNormalDiag)
def _(q, p):
    return _scalar(q.loc, q.scale_diag, p.loc, p.scale_diag)


# --- normals of vectors of which at least one is not diagonal: ½ (tr(Σp⁻¹ Σq) + sᵀ Σp⁻¹ s − dim) + ½ ln |Σp| / |Σq| ---


def _log_diagonal(tril):
    return jnp.log(jnp.abs(jnp.diagonal(tril, axis1=-2, axis2=-1))).sum(-1)


def _low_rank(d) -> LowRankMultivariateNormal:
    if isinstance(d, LowRankMultivariateNormal):
        return d
    return LowRankMultivariateNormal(d.loc, d.cov_factor, d.cov_diag, validate_args=False)


def _half_log_det(d):
    if isinstance(d, MultivariateNormalDiag):
        return jnp.log(d.scale_diag).sum(-1)
    if isinstance(d, _LOW_RANK):
        d = _low_rank(d)
        return d._half_log_det(d._capacitance_tril())
    return _log_diagonal(d.scale_tril)


def _diagonal_matrix(scale):
    return scale[..., None] * jnp.eye(scale.shape[-1], dtype=scale.dtype)


def _root(d):
    """An R with R Rᵀ = Σ, `[*batch, dim, columns]`."""
    if isinstance(d, MultivariateNormalDiag):
        return _diagonal_matrix(d.scale_diag)
    if isinstance(d, _LOW_RANK):
        factor, own = _low_rank(d).cov_factor, _diagonal_matrix(jnp.sqrt(d.cov_diag))
        shape = jnp.broadcast_shapes(own.shape[:-2], factor.shape[:-2])
        parts = [jnp.broadcast_to(part, shape + part.shape[-2:]) for part in (factor, own)]
        return jnp.concatenate(parts, axis=-1)
    return d.scale_tril


def _squares(q, p):
    """tr(Σp⁻¹ Σq) + (μq − μp)ᵀ Σp⁻¹ (μq − μp)."""
    shift = q.loc - p.loc
    if isinstance(p, MultivariateNormalDiag):
        # of a diagonal p, it depends on the variances alone
        return ((q.variance + shift**2) / p.scale_diag**2).sum(-1)
    root = _root(q)
    shape = jnp.broadcast_shapes(shift.shape, root.shape[:-1], (*p.batch_shape, 1))
    columns = [jnp.broadcast_to(root, (*shape, root.shape[-1])), jnp.broadcast_to(shift, shape)[..., None]]
    vectors = jnp.moveaxis(jnp.concatenate(columns, axis=-1), -1, 0)
    if isinstance(p, _LOW_RANK):
        p = _low_rank(p)
        return p._square(vectors, p._capacitance_tril()).sum(0)
    return (solve_lower(p.scale_tril, vectors) ** 2).sum((0, -1))


@rule((*_TRIL, *_LOW_RANK))
@rule((*_TRIL, *_LOW_RANK), MultivariateNormalDiag)
@rule(MultivariateNormalDiag, (*_TRIL, *_LOW_RANK))
def _(q, p):
    return 0.5 * (_squares(q, p) - q.event_shape[-1]) + _half_log_det(p) - _half_log_det(q)


# --- normals with structure -----------------------------------------------------------------------------------------


def _multiplicity(dim):
    """How many of the dim frequencies each of those of a real Fourier transform stands for."""
    frequency = jnp.arange(dim // 2 + 1)
    return jnp.where((frequency == 0) | (2 * frequency == dim), 1, 2)


@rule(nd.CirculantNormal)
def _(q, p):
    dim = q.event_shape[-1]
    square = jnp.abs(jnp.fft.rfft(q.loc - p.loc)) ** 2 / (dim * p.covariance_rfft)
    return (_multiplicity(dim) * _from_ratio(log_ratio(q.covariance_rfft, p.covariance_rfft), square)).sum(-1)


@rule(MultivariateNormalDiag, nd.CirculantNormal)
def _(q, p):
    dim = q.event_shape[-1]
    spectrum = jnp.abs(jnp.fft.rfft(q.loc - p.loc)) ** 2 + q.variance.sum(-1, keepdims=True)
    per_frequency = spectrum / (dim * p.covariance_rfft) + jnp.log(p.covariance_rfft)
    return 0.5 * ((_multiplicity(dim) * per_frequency).sum(-1) - dim) - _half_log_det(q)


@rule(nd.GaussianRandomWalk)
def _(q, p):
    return q.num_steps * _from_ratio(2 * log_ratio(q.scale, p.scale), 0)


@rule(nd.MatrixNormal)
def _(q, p):
    def whiten(tril, matrix):
        shape = jnp.broadcast_shapes(tril.shape[:-2], matrix.shape[:-2])
        tril, matrix = (jnp.broadcast_to(array, shape + array.shape[-2:]) for array in (tril, matrix))
        return jax.scipy.linalg.solve_triangular(tril, matrix, lower=True)

    def half_log_det(d):
        return columns * _log_diagonal(d.scale_tril_row) + rows * _log_diagonal(d.scale_tril_column)

    rows, columns = q.event_shape
    by_rows = whiten(p.scale_tril_row, q.loc - p.loc)
    shift = whiten(p.scale_tril_column, jnp.swapaxes(by_rows, -1, -2))
    row_trace = (whiten(p.scale_tril_row, q.scale_tril_row) ** 2).sum((-2, -1))
    column_trace = (whiten(p.scale_tril_column, q.scale_tril_column) ** 2).sum((-2, -1))
    squares = row_trace * column_trace + (shift**2).sum((-2, -1))
    return 0.5 * (squares - rows * columns) + half_log_det(p) - half_log_det(q)
