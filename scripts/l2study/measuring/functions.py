"""The measures of the final weights, one function each, named as in schemas/measures.yaml."""

import numpy as np

from l2study.measuring.network import ATTACK_RADII, FUNCTIONS, NOISE_LEVELS, Network, measure
from l2study.measuring.structure import (
    first_matrix,
    kernels,
    only_relu,
    output_kernel,
    scalable_chain,
)
from l2study.training.model import regularized_kernels

CALIBRATION_BINS = 15
"""Equal-width bins of confidence in the expected calibration error, as in Guo et al. 2017."""

_HISTOGRAM_EDGES = np.round(np.linspace(-1, 1, 101), 2)


@measure
def jacobian_norm(network: Network) -> float | None:
    """Return the mean over the test images of the Frobenius norm of d logits / d input."""
    return _sensitivity(network, 0)


@measure
def softmax_jacobian_norm(network: Network) -> float | None:
    """Return the mean over the test images of the Frobenius norm of d probabilities / d input."""
    return _sensitivity(network, 1)


@measure
def loss_gradient_norm(network: Network) -> float | None:
    """Return the mean over the test images of the norm of d cross-entropy / d input."""
    return _sensitivity(network, 2)


def _sensitivity(network: Network, number: int) -> float | None:
    return network.sensitivities[number] if network.sensitivities else None


@measure
def boundary_distance(network: Network) -> float | None:
    """Return the median over the test images of the linearised distance to the decision boundary.

    None where that is infinite: the logits of most images do not depend on the image.
    """
    if not network.sensitivities:
        return None
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
def weight_norm_lit(network: Network) -> float | None:
    """Return the norm of the rows of the first regularised kernel with a lit input."""
    return _norm_of_rows(network, network.lit)


@measure
def weight_norm_never_lit(network: Network) -> float | None:
    """Return the norm of the rows of the first regularised kernel with a never-lit input."""
    return _norm_of_rows(network, ~network.lit)


def _norm_of_rows(network: Network, rows: np.ndarray) -> float | None:
    """Return the norm of some rows of the first kernel, None where inputs have no rows."""
    kernel = first_matrix(network.model, len(rows))
    return None if kernel is None else float(np.linalg.norm(kernel.numpy().astype(float)[rows]))


@measure
def output_kernel_norm(network: Network) -> float | None:
    """Return the Frobenius norm of the output kernel, whether it is regularised or not.

    None for a model that does not end with a dense layer.
    """
    kernel = output_kernel(network.model, network.classes)
    return None if kernel is None else float(np.linalg.norm(kernel.numpy()))


@measure
def norm_product(network: Network) -> float | None:
    """Return the product of the norms of all kernels.

    To scale one layer of a ReLU network down and the next one up changes neither the function nor
    this product. None where it would, for instance with a normalisation or a skip connection.
    """
    layers = network.chain or scalable_chain(network.model)
    if layers is None:
        return None
    norms = [float(np.linalg.norm(one.numpy())) for layer in layers for one in kernels(layer)]
    return float(np.prod(norms))


@measure
def inactive_share(network: Network) -> float | None:
    """Return the share of hidden ReLU units that no training image activates.

    None for another activation, without hidden units, and for a model that is no chain of dense
    layers.
    """
    if not network.chain or len(network.chain) == 1 or not only_relu(network.chain):
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
