"""What the tables of a study contain: the columns, as data, without loading anything."""

HISTORY_COLUMNS = [
    "l2",
    "seed",
    "epoch",
    "train_loss_running",
    "train_accuracy_running",
    "train_ce",
    "train_accuracy",
    "val_ce",
    "val_accuracy",
    "test_ce",
    "test_accuracy",
    "penalty",
    "train_loss",
    "val_loss",
    "weight_norm",
    "weight_max_abs",
    "spectral_norm",
    "seconds",
]
"""Columns of history.csv and histories.csv. Accuracies are fractions, cross-entropies and losses
nats, `seconds` the wall time of the epoch with its evaluation. The two running columns are empty
at epoch 0, the model before any step."""

GAPS = {
    "reported": ("train_accuracy_running", "val_accuracy"),
    "lag": ("train_accuracy_running", "train_accuracy"),
    "generalisation": ("train_accuracy", "test_accuracy"),
    "split": ("test_accuracy", "val_accuracy"),
    "endpoint": ("train_accuracy", "val_accuracy"),
    "ce": ("val_ce", "train_ce"),
}
"""Every gap as (minuend, subtrahend) among the history columns. For every run and epoch,
reported = lag + generalisation + split."""

NOISE_LEVELS = (0.1, 0.2, 0.3)
"""Standard deviations of the input noise, in units of the scaled input (a pixel is 0 to 1)."""
