"""Every run of a study trained at once: one JAX program, `vmap` over lambdas and seeds.

Written by hand for this model: 784-128-10, Adam, the same batches for every lambda of a seed, and
after every epoch the measures that the study records per epoch.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from common import mnist

ROWS, CHUNK = 54_000, 2_000


def initial(key: jax.Array) -> dict[str, jax.Array]:
    """Return Glorot-uniform kernels and zero biases."""
    glorot = jax.nn.initializers.glorot_uniform()
    first, second = jax.random.split(key)
    return {
        "w1": glorot(first, (784, 128)),
        "b1": jnp.zeros(128),
        "w2": glorot(second, (128, 10)),
        "b2": jnp.zeros(10),
    }


def forward(weights: dict, images: jax.Array) -> jax.Array:
    """Return the logits of uint8 images (rows, 784)."""
    x = images.astype(jnp.float32) / 255
    return jax.nn.relu(x @ weights["w1"] + weights["b1"]) @ weights["w2"] + weights["b2"]


def loss(weights: dict, l2: jax.Array, images: jax.Array, labels: jax.Array) -> tuple:
    """Return the loss with its penalty, and how many answers were right."""
    logits = forward(weights, images)
    ce = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return ce + l2 * jnp.square(weights["w1"]).sum(), (logits.argmax(1) == labels).sum()


def main() -> None:
    """Train all runs and write their histories as one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lambdas", type=float, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    x_train, y_train, x_test, y_test = mnist()
    images = jnp.asarray(np.concatenate([x_train, x_test]).reshape(-1, 784))
    labels = jnp.asarray(np.concatenate([y_train, y_test]).astype(np.int32))
    parts = {"train": (0, ROWS), "val": (ROWS, 60_000), "test": (60_000, 70_000)}
    optimizer = optax.adam(0.001, eps=1e-7)
    lambdas = jnp.asarray(options.lambdas)
    over_lambdas = partial(jax.vmap, in_axes=(0, 0, 0, None, None))
    over_seeds = partial(jax.vmap, in_axes=(0, 0, None, 0, 0))

    def step(weights, state, l2, x, y):
        (value, right), gradient = jax.value_and_grad(loss, has_aux=True)(weights, l2, x, y)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(weights, change), state, value, right

    all_steps = over_seeds(over_lambdas(step))

    @jax.jit
    def epoch(weights, state, orders):  # orders: (batches, seeds, batch)
        def body(carry, rows):
            weights, state = carry
            weights, state, value, right = all_steps(
                weights, state, lambdas, images[rows], labels[rows]
            )
            return (weights, state), (value, right)

        carry, (values, rights) = jax.lax.scan(body, (weights, state), orders)
        return (*carry, values.mean(0), rights.sum(0) / ROWS)

    def measured(weights, x, y):
        logits = forward(weights, x)
        ce = optax.softmax_cross_entropy_with_integer_labels(logits, y).sum()
        return ce, (logits.argmax(1) == y).sum()

    every = jax.vmap(jax.vmap(measured, in_axes=(0, None, None)), in_axes=(0, None, None))

    @jax.jit
    def evaluate(weights):
        measures = {}
        for part, (first, last) in parts.items():
            x = images[first:last].reshape(-1, CHUNK, 784)
            y = labels[first:last].reshape(-1, CHUNK)
            ce, right = jax.lax.map(lambda xy: every(weights, *xy), (x, y))
            measures[f"{part}_ce"] = ce.sum(0) / (last - first)
            measures[f"{part}_accuracy"] = right.sum(0) / (last - first)
        squares = jnp.square(weights["w1"]).sum((-2, -1))
        grams = jnp.einsum("slij,slik->sljk", weights["w1"], weights["w1"])
        return measures | {
            "penalty": lambdas * squares,
            "weight_norm": jnp.sqrt(squares),
            "weight_max_abs": jnp.abs(weights["w1"]).max((-2, -1)),
            "spectral_norm": jnp.sqrt(jnp.linalg.eigvalsh(grams)[..., -1]),
        }

    keys = jax.random.split(jax.random.key(0), options.seeds)
    one = jax.vmap(initial)(keys)
    weights = jax.tree.map(lambda w: jnp.repeat(w[:, None], len(lambdas), 1), one)
    state = jax.vmap(jax.vmap(optimizer.init))(weights)
    batches = ROWS // options.batch_size
    random, tables = np.random.default_rng(0), []
    for number in range(options.epochs + 1):
        running = {}
        if number:
            orders = np.stack([random.permutation(ROWS) for _ in range(options.seeds)], 1)
            orders = orders.reshape(batches, options.batch_size, -1).swapaxes(1, 2)
            weights, state, *values = epoch(weights, state, jnp.asarray(orders))
            names = ("train_loss_running", "train_accuracy_running")
            running = dict(zip(names, values, strict=True))
        measures = {k: np.asarray(v).ravel() for k, v in (running | evaluate(weights)).items()}
        tables.append(pd.DataFrame(measures).assign(epoch=number))
        index = pd.MultiIndex.from_product([range(options.seeds), options.lambdas])
        tables[-1][["seed", "l2"]] = index.to_frame().to_numpy()
    pd.concat(tables).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
