"""The measures of the final weights, one function each, named as in schemas/measures.yaml."""

import numpy as np

from l2study.measuring.network import ATTACK_RADII, FUNCTIONS, NOISE_LEVELS, Network, measure
from l2study.training.backend import keras
from l2study.training.model import dense_layers, regularized_kernels

CALIBRATION_BINS = 15
"""Equal-width bins of confidence in the expected calibration error, as in Guo et al. 2017."""

_HISTOGRAM_EDGES = np.round(np.linspace(-1, 1, 101), 2)


@measure
def jacobian_norm(network: Network) -> float:
    """Return the mean over the test images of the Frobenius norm of d logits / d input."""
    return network.sensitivities[0]


@measure
def softmax_jacobian_norm(network: Network) -> float:
    """Return the mean over the test images of the Frobenius norm of d probabilities / d input."""
    return network.sensitivities[1]


@measure
def loss_gradient_norm(network: Network) -> float:
    """Return the mean over the test images of the norm of d cross-entropy / d input."""
    return network.sensitivities[2]


@measure
def boundary_distance(network: Network) -> float | None:
    """Return the median over the test images of the linearised distance to the decision boundary.

    None where that is infinite: the logits of most images do not depend on the image.
    """
    median = float(np.median(network.sensitivities[3]))
    return median if np.isfinite(median) else None


for _sd in NOISE_LEVELS:
    FUNCTIONS[f"test_accuracy_noise_{_sd}"] = lambda network, sd=_sd: network.predictions[1][sd]

for _attack in ("fgsm", "pgd"):
    for _radius in ATTACK_RADII:
        FUNCTIONS[f"test_accuracy_{_attack}_{_radius}"] = lambda network, a=_attack, r=_radius: (
            network.attacks[a][r]
        )


@measure
def weight_norm_lit(network: Network) -> float:
    """Return the norm of the rows of the first regularised kernel with a lit input."""
    return float(np.linalg.norm(_first_kernel(network)[network.lit]))


@measure
def weight_norm_never_lit(network: Network) -> float:
    """Return the norm of the rows of the first regularised kernel with a never-lit input."""
    return float(np.linalg.norm(_first_kernel(network)[~network.lit]))


def _first_kernel(network: Network) -> np.ndarray:
    return regularized_kernels(network.model)[0].numpy().astype(np.float64)


@measure
def output_kernel_norm(network: Network) -> float:
    """Return the Frobenius norm of the output kernel, whether it is regularised or not."""
    return _norms(network)[-1]


@measure
def norm_product(network: Network) -> float:
    """Return the product of the norms of all kernels.

    To scale one layer of a ReLU network down and the next one up changes neither the function nor
    this product.
    """
    return float(np.prod(_norms(network)))


def _norms(network: Network) -> list[float]:
    return [float(np.linalg.norm(layer.kernel.numpy())) for layer in dense_layers(network.model)]


@measure
def inactive_share(network: Network) -> float | None:
    """Return the share of hidden ReLU units that no training image activates.

    None for another activation, or without hidden units.
    """
    *hidden, _ = dense_layers(network.model)
    if not hidden or hidden[0].activation is not keras.activations.relu:
        return None
    return float(np.mean(~network.ever_active))


@measure
def ece(network: Network) -> float:
    """Return the expected calibration error on the test images."""
    return expected_calibration_error(network.predictions[0], network.labels)


@measure
def brier(network: Network) -> float:
    """Return the Brier score on the test images."""
    return brier_score(network.predictions[0], network.labels)


def measured(network: Network) -> dict:
    """Return what is measured of a run: its `measures` by name, and its `weight_histogram`."""
    return {
        "measures": {name: function(network) for name, function in FUNCTIONS.items()},
        "weight_histogram": weight_histogram(network),
    }


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error, a fraction.

    The images are binned by their confidence (the largest probability) into `CALIBRATION_BINS` bins
    of equal width. The result is the mean over the images of |accuracy - confidence| of their bin
    (Guo et al. 2017, "On calibration of modern neural networks", equation 3).

    Args:
        probabilities: shape (rows, classes).
        labels: integers, shape (rows,).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    # Bins are open below and closed above, as in the paper. Confidence is never 0.
    bins = np.ceil(confidence * CALIBRATION_BINS).astype(int)
    excess = np.bincount(bins, weights=right - confidence)
    return float(np.abs(excess).sum() / len(labels))


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the images of the squared distance between the probabilities and the
    one-hot label, from 0 to 2 (Brier 1950).

    Args:
        probabilities: shape (rows, classes).
        labels: integers, shape (rows,).
    """
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(labels)), labels] -= 1
    return float(np.square(errors).sum(axis=1).mean())


def weight_histogram(network: Network) -> dict[str, list]:
    """Return the histogram of all regularised weights.

    `edges` (one more than `counts`) go from -1 to 1 in steps of 0.02. Weights beyond the edges are
    counted in the outer bins.
    """
    kernels = regularized_kernels(network.model)
    weights = np.concatenate([kernel.numpy().ravel() for kernel in kernels])
    counts, _ = np.histogram(weights.clip(-1, 1), _HISTOGRAM_EDGES)
    return {"edges": _HISTOGRAM_EDGES.tolist(), "counts": counts.tolist()}
