"""The set-ups of a study, as `l2study.core.design` resolves them."""

from collections.abc import Iterable

from l2study.core.design import MOST_RUNS, Design, Setup
from l2study.core.factors import STUDIED

__all__ = ["MOST_RUNS", "STUDIED", "Setup", "setups", "sharing_runs"]


def setups(config: dict, *, checked: bool = False) -> list[Setup]:
    """Return the set-ups of `Design.of`."""
    return list(Design.of(config, checked).setups)


def sharing_runs(found: Iterable[Setup]) -> list[list[Setup]]:
    """Return `Design.sharing` of these set-ups."""
    return Design({}, tuple(found)).sharing
