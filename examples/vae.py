"""The lecture's variational auto-encoder on scikit-learn's digits, from its three parts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import varinf as vi
from varinf import distributions as vd

LATENT_DIM, HIDDEN, SHAPE = 2, 100, (8, 8)


def make_prior():
    return vd.MultivariateNormalDiag(jnp.zeros(LATENT_DIM), jnp.ones(LATENT_DIM))


class Encoder(eqx.Module):
    network: vi.networks.MLP

    def __call__(self, x):
        loc, raw_scale = jnp.split(self.network(x), 2, axis=-1)
        return vd.MultivariateNormalDiag(loc, vd.softplus(raw_scale))


class Decoder(eqx.Module):
    network: vi.networks.MLP

    def __call__(self, z):
        return vd.Independent(vd.Bernoulli(logits=self.network(z)), len(SHAPE))


def make_encoder(key):
    return Encoder(vi.networks.MLP(SHAPE, (2 * LATENT_DIM,), (HIDDEN,), activation="relu", key=key))


def make_decoder(key):
    return Decoder(vi.networks.MLP((LATENT_DIM,), SHAPE, (HIDDEN,), activation="relu", key=key))


def main(epochs=100):
    images = (load_digits().images > 7.5).astype(np.float32)
    train, held_out = images[:1500], images[1500:]
    encoder_key, decoder_key, fit_key, sample_key = jax.random.split(jax.random.key(0), 4)
    vae = vi.VAE(prior=make_prior(), encoder=make_encoder(encoder_key), decoder=make_decoder(decoder_key))

    fit = vi.fit(vae, train, validation=held_out, optimizer=optax.adam(1e-3), epochs=epochs, key=fit_key)
    print(f"elbo: {fit.history['elbo'][-1]:.2f} nats a digit, held out {fit.history['validation_elbo'][-1]:.2f}")

    codes = fit.model.encode(held_out)
    print(f"the code of the first held-out digit: {codes.mean[0]} ± {np.sqrt(codes.variance[0])}")
    for row in np.asarray(fit.model.sample(1, key=sample_key, mean=True))[0]:
        print("".join(" .:+#"[int(4.99 * pixel)] for pixel in row))


if __name__ == "__main__":
    main()
