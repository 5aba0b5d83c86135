"""Which epochs of a run are evaluated, and of which predictions are kept."""


def evaluated_epochs(training: dict) -> list[int]:
    """Return the epochs after which a run is evaluated, ascending: 0 first, the last one last.

    `evaluate_at: {points: N}` gives N epochs from 1 to the last, and epoch 0. They are evenly
    spaced on a logarithmic scale, as far as whole numbers can be: the first epochs follow each
    other one by one, and those after them grow by a constant factor. A run of fewer than N epochs
    is evaluated after every one.

    Args:
        training: the part `training` of a canonical configuration. With `evaluate_at: all` or
            without it, every epoch is evaluated.
    """
    last, chosen = training["epochs"], training.get("evaluate_at")
    if chosen in (None, "all"):
        return list(range(last + 1))
    if isinstance(chosen, dict):
        return [0, *_evenly(last, min(chosen["points"], last))]
    return sorted({0, *chosen, last})


def predicted_epochs(training: dict) -> set[int]:
    """Return the epochs of `predict_at` after which a run is evaluated.

    Args:
        training: the part `training` of a canonical configuration.
    """
    return set(training.get("predict_at", ())) & set(evaluated_epochs(training))


def _evenly(last: int, count: int) -> list[int]:
    """Return `count` distinct whole numbers from 1 to `last`, both included.

    The factor to the next number is that with which the remaining ones would reach `last`. A step
    of less than one is made a step of one, and the factor of those after it becomes smaller.
    """
    numbers = [1]
    for left in range(count - 1, 1, -1):
        here = numbers[-1]
        numbers.append(max(here + 1, round(here * (last / here) ** (1 / left))))
    return sorted({*numbers, last})
