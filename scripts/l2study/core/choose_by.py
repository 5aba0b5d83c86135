"""The metrics of validation that lambda may be chosen by."""

CHOOSE_BY = ("val_ce", "val_accuracy")
"""What lambda may be chosen by, the default first. Each has a measure of the test images, too."""


def other_metric(metric: str) -> str:
    """Return the metric of `CHOOSE_BY` that is not this one."""
    return next(one for one in CHOOSE_BY if one != metric)


def on_test(metric: str) -> str:
    """Return the measure of the test images that a metric of `CHOOSE_BY` stands for."""
    return metric.replace("val_", "test_")
