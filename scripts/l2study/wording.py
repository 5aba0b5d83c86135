"""How measures are called and numbers written in figures, page and summary."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from l2study.columns import NOISE_LEVELS

MISSING = "–"
"""What stands for a number that there is not, such as the interval of a single run."""


@dataclass(frozen=True)
class Measure:
    """A measure for the reader: its label, its unit, and what its number is multiplied by."""

    label: str
    unit: str = ""
    scale: float = 1.0


def _accuracy(label: str) -> Measure:
    return Measure(label, "points", 100.0)


MEASURES = {
    "train_loss_running": Measure("Training loss, running", "nats"),
    "train_accuracy_running": _accuracy("Training accuracy, running"),
    "train_ce": Measure("Training cross-entropy", "nats"),
    "train_accuracy": _accuracy("Training accuracy"),
    "val_ce": Measure("Validation cross-entropy", "nats"),
    "val_accuracy": _accuracy("Validation accuracy"),
    "test_ce": Measure("Test cross-entropy", "nats"),
    "test_accuracy": _accuracy("Test accuracy"),
    "penalty": Measure("Penalty", "nats"),
    "train_loss": Measure("Training loss", "nats"),
    "val_loss": Measure("Validation loss", "nats"),
    "weight_norm": Measure("Norm of the regularised weights"),
    "weight_max_abs": Measure("Largest regularised weight"),
    "spectral_norm": Measure("Spectral norm of the regularised weights"),
    "val_ce_min": Measure("Lowest validation cross-entropy", "nats"),
    "val_ce_min_epoch": Measure("Epoch of that minimum"),
    "val_ce_creep": Measure("Creep of validation cross-entropy", "nats"),
    "val_ce_creep_smoothed": Measure("Creep of validation cross-entropy, smoothed", "nats"),
    "generalisation_loss": Measure("Generalisation loss (Prechelt)", "%"),
    "gap_reported": _accuracy("Reported gap"),
    "gap_lag": _accuracy("Lag"),
    "gap_generalisation": _accuracy("Generalisation gap"),
    "gap_split": _accuracy("Split"),
    "gap_endpoint": _accuracy("End-of-epoch gap"),
    "gap_ce": Measure("Cross-entropy gap", "nats"),
    "jacobian_norm": Measure("Jacobian norm of the logits", "logits per unit of input"),
    "softmax_jacobian_norm": Measure("Jacobian norm of the probabilities", "per unit of input"),
    "loss_gradient_norm": Measure("Gradient norm of the cross-entropy", "nats per unit of input"),
    "test_accuracy_noise_0.1": _accuracy("Test accuracy, noise 0.1"),
    "test_accuracy_noise_0.2": _accuracy("Test accuracy, noise 0.2"),
    "test_accuracy_noise_0.3": _accuracy("Test accuracy, noise 0.3"),
    "weight_norm_lit": Measure("Norm of first-layer weights, lit inputs"),
    "weight_norm_never_lit": Measure("Norm of first-layer weights, never-lit inputs"),
    "output_kernel_norm": Measure("Norm of the output kernel"),
    "norm_product": Measure("Product of the norms of all kernels"),
    "inactive_share": Measure("Hidden units never active", "%", 100.0),
    "ece": Measure("Expected calibration error", "points", 100.0),
    "brier": Measure("Brier score"),
    "penalty_error": Measure("Error of the penalty"),
    "penalty_start_ratio": Measure("Penalty before training, relative to its expectation"),
    "start_loss": Measure("Training loss before training", "nats"),
    "first_running_loss": Measure("Training loss of epoch 1, running", "nats"),
    "val_loss_creep_smoothed": Measure("Creep of validation loss, smoothed", "nats"),
    "creep_hidden": Measure("Creep that the validation loss hides", "nats"),
    **{f"accuracy_lost_{sd}": _accuracy(f"Accuracy lost to noise {sd}") for sd in NOISE_LEVELS},
    "gap_lag_split": _accuracy("Lag plus split"),
}
"""Words for the columns of runs.csv, the measures of contrasts.csv, and those of the claims."""


def number(value: float | None, digits: int = 2, scale: float = 1.0) -> str:
    """Return `scale * value` with `digits` decimals and a true minus sign, or a dash if missing.

    >>> number(-0.01361, 2, 100)
    '−1.36'
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{scale * value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def significant(value: float | None, digits: int = 3, scale: float = 1.0) -> str:
    """Return `scale * value` with `digits` significant digits, or a dash if missing.

    >>> significant(0.000123456)
    '0.000123'
    """
    if value is None or not math.isfinite(value):
        return MISSING
    scaled = scale * value
    if 10**digits - 0.5 <= abs(scaled) < 1e6:
        text = f"{scaled:.0f}"
    else:
        text = f"{scaled:#.{digits}g}".rstrip(".") if scaled else "0"
    text = re.sub(r"\.?e([+-])0*(\d)", lambda m: f"e{m[1].strip('+')}{m[2]}", text)
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2, scale: float = 1.0) -> str:
    """Return an interval such as `−1.45 to −1.20`, or a dash if it is missing."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{number(low, digits, scale)} to {number(high, digits, scale)}"


def percent(share: float) -> str:
    """Return a share as a percentage in its plainest form: 0.95 is `95 %`, 0.999 is `99.9 %`."""
    return f"{100 * share:.10g} %"


def seed_list(seeds: Iterable[int]) -> str:
    """Return `seed 3` or `seeds 3, 7`, in ascending order."""
    seeds = sorted(int(seed) for seed in seeds)
    return f"seed{'s' if len(seeds) != 1 else ''} {', '.join(map(str, seeds))}"
