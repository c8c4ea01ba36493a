import math
from collections.abc import Callable
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from numpyro.distributions import Distribution, Independent

from varinf._checks import known
from varinf.errors import InputError
from varinf.likelihoods import AbstractLikelihood, Supervised
from varinf.models._build_bayesian_network import build_bayesian_network
from varinf.models._gradient_estimators import ESTIMATORS, Plan, per_datum_outputs, plan
from varinf.models._model import AbstractModel
from varinf.models._prediction import Prediction, predict
from varinf.models._random_weights import LEARNING_RATE, START, RandomWeights
from varinf.models._weight_prior import AbstractWeightPrior
from varinf.objectives import Batch, Draw, Request, Terms
from varinf.posteriors import AbstractFamily, AbstractWeights, MeanFieldWeights


class BayesianNetwork(AbstractModel):
    """A network with a posterior on its weights: p(y | x, w) and p(w), and q(w) close to p(w | data).

    To be fitted to a tuple (x, y). All float arrays of the network are random, or those chosen by `random`; the others
    stay point estimates, and are trained as such. Any network will do, since the posterior is over arrays, not layers.

    Sources: Graves 2011; Blundell, Cornebise, Kavukcuoglu and Wierstra 2015.

    Args:
        network: `[batch, *inputs]` -> `[batch, *outputs]`, any Equinox module that takes each row by itself (none that
            normalises by its batch's own mean, say: it is given rows one by one); `varinf.batched` lifts one written
            for one example, `varinf.Applied` a plain function with its parameters (Flax's `apply`). Its arrays are
            where the means begin.
        likelihood: what its outputs mean.
        prior: p(w) of each weight by itself: a Distribution, or `FanInPrior` or `LearnedPrior`; N(0, 1) if None,
            which loses what few rows say where a network of numbers is wide or deep: take `FanInPrior` there.
        posterior: the family of q, or its name in `varinf.posteriors.POSTERIORS`.
        estimator: how a batch sees the weights. "weights": one draw for all of it. "local": outputs of layers are
            drawn in the place of weights, and weights that are no layer's are drawn for each datum. "flipout": one
            draw, with signs of each datum's own. "auto": as local, but flipout for what is too large to be drawn for
            each datum; weights for a posterior that is not mean-field.
        random: which arrays are random: a function of the network that returns a part of it, or several in a tuple
            (`lambda network: network.layers[-1]`); or a tree of truth values of its shape; None for all.
        observation: how stored rows (x, y) become what the network is given and what the likelihood is over.
        scale: the standard deviations at the start, as a share of an array's own size.
        recipe: how `build` made it, as JSON, which lets `varinf.load` make it again; None for parts of one's own.
        key: for what the posterior draws to begin with.

    Raises:
        InputError: a network without float arrays; an unknown name; an estimator that the posterior does not allow.
    """

    learning_rate: ClassVar[float] = LEARNING_RATE
    weights: RandomWeights
    likelihood: AbstractLikelihood
    observation: Supervised
    estimator: str = eqx.field(static=True)
    recipe: str | None = eqx.field(static=True, default=None)

    build = classmethod(build_bayesian_network)

    def __init__(
        self,
        network: Callable[[Array], Array],
        likelihood: AbstractLikelihood,
        prior: Distribution | AbstractWeightPrior | None = None,
        posterior: str | AbstractFamily = "mean_field",
        estimator: str = "auto",
        *,
        random: Callable[[Any], Any] | PyTree[bool] | None = None,
        observation: Supervised | None = None,
        scale: float = START,
        recipe: str | None = None,
        key: PRNGKeyArray,
    ):
        known("estimator", estimator, ESTIMATORS)
        self.weights = RandomWeights(network, random, prior, posterior, scale=scale, key=key)
        if not isinstance(self.posterior, MeanFieldWeights):
            if estimator not in ("auto", "weights"):
                raise InputError(
                    f"estimator={estimator!r} needs weights that are independent under the posterior, which they are "
                    "under MeanField alone; use estimator='weights'"
                )
            estimator = "weights"
        self.estimator = estimator
        self.likelihood = likelihood
        self.observation = Supervised() if observation is None else observation
        self.recipe = recipe

    @property
    def posterior(self) -> AbstractWeights:
        """q(w)."""
        return self.weights.posterior

    @property
    def prior(self) -> AbstractWeightPrior:
        """p(w)."""
        return self.weights.prior

    def draw(self, batch: Batch, request: Request, *, key: PRNGKeyArray) -> Draw:
        weights_key, outputs_key = jax.random.split(key)
        drawn = self.estimator == "weights" or self.weights.kl(request) is None
        return Draw(self.posterior.sample(weights_key, request.num_samples) if drawn else None, outputs_key)

    def score(self, batch: Batch, draw: Draw, request: Request) -> Terms:
        x, y = batch.data
        if not isinstance(self.posterior, MeanFieldWeights) or self.estimator == "weights":
            output = _over_samples(lambda weights: self._outputs(weights, x), draw.latents)
        else:
            output = per_datum_outputs(self._plan(x), self.posterior, x, request.num_samples, draw.context)
        p = _distribution(self.likelihood, output, 2, y.shape[1:])
        log_likelihood = jnp.asarray(p.log_prob(y)) + self.observation.log_det()
        return Terms(log_likelihood, (self.weights.latent(draw.latents, request),), batch)

    def network(self, weights: PyTree[Array]) -> Callable[[Array], Array]:
        """The network at given weights, `[batch, *inputs]` -> `[batch, *outputs]`."""
        return self.weights.put(weights)

    def predict(self, x: Any, num_samples: int = 100, *, key: PRNGKeyArray) -> Prediction:
        """What it says of y at new inputs, and how sure it is.

        Args:
            x: inputs as they are stored, `[n, *inputs]`.
            num_samples: draws of the weights, the same for all rows.
            key: for the draws.
        """
        return predict(self, x, num_samples, key=key)

    def of_draw(
        self, function: Callable[[Independent, Any], Any], rows: tuple[PyTree[Array], Any], *, key: PRNGKeyArray
    ) -> Any:
        """What a function makes of p(y | x, w), in the units of stored rows, and of y, at one draw of the weights:
        arrays `[1, ...]`.

        Args:
            function: of p, of batch shape `[batch]`, and of y.
            rows: inputs as `observation` prepares them, and y as it is stored, or None.
            key: for the weights.
        """
        x, y = rows
        weights = jax.tree.map(lambda leaf: leaf[0], self.posterior.sample(key, 1))
        # predictions are worked out in double precision, the network in the type of its weights
        own = jnp.result_type(*jax.tree.leaves(weights))
        output = self._outputs(weights, jax.tree.map(lambda a: a.astype(own), self.observation.x(x, key=None)))
        shapes = [output.shape[1:rank] for rank in range(1, output.ndim + 1)]
        fitting = [shape for shape in shapes if _fits(self.likelihood.output_shape(shape), output.shape[1:])]
        p = _distribution(self.likelihood, output, 1, shapes[0] if not fitting else fitting[0])
        restored = cast(Independent, self.observation.restore(p))  # of the kind that it was
        return jax.tree.map(lambda array: array[None], function(restored, y))

    def ways(self, x: Any) -> dict[str, str]:
        """How a batch sees each random array, by its name: "local" (a layer's outputs are drawn in its place), "datum"
        (drawn for each datum), "flipout", "shared" (one draw for the batch).

        Args:
            x: a batch of inputs, as they are stored.
        """
        names = [jax.tree_util.keystr(path).lstrip(".") for path, _ in jax.tree.leaves_with_path(self.posterior.mean())]
        if self.estimator == "weights":
            return dict.fromkeys(names, "shared")
        observed = self.observation.x(jax.tree.map(jnp.asarray, self.observation.x.prepare(x)), key=None)
        return dict(zip(names, self._plan(observed).ways, strict=True))

    def _plan(self, x: Array) -> Plan:
        return plan(self._outputs, self.posterior.mean(), x, self.estimator)

    def _outputs(self, weights: PyTree[Array], x: Array) -> Array:
        """The network's, each row of which is a row's of the batch."""
        try:
            output = self.network(weights)(x)
        except InputError:
            raise
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"the network does not run on a batch of shape {x.shape} alone: {error}; varinf.batched lifts one that "
                "is written for one example, equinox.nn.inference_mode takes away dropout"
            ) from error
        shape = jnp.shape(output)
        if shape[:1] != (len(x),):
            raise InputError(f"the network gives shape {shape} for {len(x)} rows; expected [batch, *outputs]")
        return output


def _over_samples(function: Callable[[PyTree[Array]], Array], draws: PyTree[Float[Array, "samples ..."]]) -> Array:
    """A function of each draw, `[samples, ...]`."""
    if len(jax.tree.leaves(draws)[0]) == 1:  # spares products a batch axis
        return function(jax.tree.map(lambda leaf: leaf[0], draws))[None]
    return jax.vmap(function)(draws)


def _distribution(
    likelihood: AbstractLikelihood, output: Float[Array, "..."], rank: int, event_shape: tuple[int, ...]
) -> Independent:
    """p(y | output), of batch shape the first `rank` axes of a network's output.

    Raises:
        InputError: the output is of another size than the likelihood needs.
    """
    shape, given = likelihood.output_shape(event_shape), output.shape[rank:]
    if not _fits(shape, given):
        raise InputError(
            f"{type(likelihood).__name__} needs outputs of shape {shape} for y of shape {event_shape}, and the network "
            f"gives {given} for each row; change the width of its last layer"
        )
    return Independent(likelihood(output.reshape(*output.shape[:rank], *shape)), len(event_shape))


def _fits(shape: tuple[int, ...], given: tuple[int, ...]) -> bool:
    """Whether an output can be given a shape, in which −1 stands for any length above 1."""
    known_size = math.prod(n for n in shape if n >= 0)
    if -1 in shape:
        return math.prod(given) % known_size == 0 and math.prod(given) > known_size
    return math.prod(given) == known_size
