"""What training writes to history.csv: the columns, as data, without loading anything.

Training depends on this module, so a change here trains everything again. What the measures are
called, and everything else about them, is in schemas/measures.yaml.
"""

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
"""Accuracies are fractions, cross-entropies and losses are in nats. `seconds` is the wall time of
the epochs since the row before, with the evaluation after the last of them."""

EMPTY_AT_START = ("train_loss_running", "train_accuracy_running", "seconds")
"""Columns that may be empty at epoch 0, the model before any step."""

TRAINING_MODE_COLUMN = "train_accuracy_training_mode"
"""A further column, the last one, of models that compute something else while they are trained,
such as those with BatchNormalization or Dropout: the accuracy on the training images in that mode,
at the weights of the end of the epoch."""

ALL_COLUMNS = [*HISTORY_COLUMNS, TRAINING_MODE_COLUMN]
"""The columns of a run's history as it is read; one that its file lacks is empty."""
