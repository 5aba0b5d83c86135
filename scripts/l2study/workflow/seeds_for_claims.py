"""What it would take to resolve the claims that a finished study leaves open."""

import csv
import statistics
from pathlib import Path

from l2study.core.paths import BASE


def lines(results: Path, cores: int) -> list[str]:
    """Return a line for every claim that is not resolved in the base, with seeds and time.

    How many seeds that takes is read from claims.csv, and how long a run takes from runs.csv.

    Args:
        results: the folder of the study's results.
        cores: how many runs are trained at a time.

    Returns:
        Nothing if all are resolved, or there are no tables.
    """
    try:
        claims, runs = (_rows(results / "tables" / f"{name}.csv") for name in ("claims", "runs"))
    except OSError:
        return []
    left = [
        row for row in claims if row["estimand"] == "overall" and row["verdict"] == "not resolved"
    ]
    seeds, lambdas = ({row[key] for row in runs} for key in ("seed", "l2"))
    if not left or not runs:
        return []
    each = statistics.fmean(
        float(row["seconds_total"]) + float(row["seconds_measures"]) for row in runs
    )
    found = [
        "Claims that are not resolved, and the seeds that would resolve them at a power of 80 %:"
    ]
    for row in left:
        if not row["seeds_needed"]:
            found.append(f"  {row['id']}: more seeds alone would not")
            continue
        more = max(int(row["seeds_needed"]) - len(seeds), 0)
        minutes = max(round(more * len(lambdas) * each / cores / 60), 1)
        found.append(
            f"  {row['id']}: {row['seeds_needed']} seeds, {more} more than now, about"
            f" {minutes // 60}:{minutes % 60:02} (h:mm)"
        )
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["setup"] == BASE]
