"""Made-up tables of studies with several set-ups, for tests only: no number here is a result."""

import itertools
import json

import numpy as np
import pandas as pd

BASE = "base"
CLAIMS = ("penalty", "start", "small-weights", "small-gap", "negative-gap", "sensitivity", "creep",
          "takeaway")  # fmt: skip
VERDICTS = ("holds", "fails", "open", "not judged")
FIGURES = {"small-gap": ("yes", "no", "open", "not judged"), "negative-gap": ("yes",) * 4}
"""Whether the figure of a claim that has one is found, in the order of the conclusions."""

ROBUSTNESS = {
    "batch_size": ("200", ["32", "128"]),
    "epochs": ("20", ["8", "30", "60"]),
    "split": ("tail", ["stratified"]),
    "optimizer": ("adam", ["sgd", "rmsprop", "adamw"]),
    "train_size": ("all", ["1000", "5000"]),
}
"""One at a time: the level of the base, and the others; 12 set-ups."""

WHEN = {
    "train_size": ("all", ["500", "2000", "10000"]),
    "learning_rate": ("0.001", ["0.01", "0.1"]),
}
"""All combined: 12 set-ups."""


def setups_table(factors: dict, full: bool = False, missing=(), diverged=None) -> pd.DataFrame:
    """Return the table of set-ups of a study with these factors, 10 runs each.

    Args:
        factors: for every factor, the level of the base and a list of the others.
        full: whether the levels are combined.
        missing: the names of set-ups without runs.
        diverged: how many runs diverged, by the name of the set-up.
    """
    own = {name: base for name, (base, _) in factors.items()}
    if full:
        chosen = itertools.product(*([None, *others] for _, others in factors.values()))
        changes = [{n: v for n, v in zip(factors, c, strict=True) if v} for c in chosen]
    else:
        changes = [{}, *({n: v} for n, (_, others) in factors.items() for v in others)]
    rows = []
    for rank, change in enumerate(changes):
        name = ",".join(f"{n}~{v}" for n, v in change.items()) or BASE
        lost, gone = (diverged or {}).get(name, 0), name in missing
        rows.append(
            {"setup": name, **own, **change, "runs": 10, "completed": 0 if gone else 10 - lost,
             "diverged": lost, "missing": 10 if gone else 0,
             "matches_exercise": "" if gone else "yes" if rank < 3 else "no"}
        )  # fmt: skip
    return pd.DataFrame(rows)


def across_tables(setups: pd.DataFrame, claims=CLAIMS, verdict=None, random_state=0) -> dict:
    """Return the tables across set-ups by their names, with `all_claims`.

    Args:
        setups: from `setups_table`; a set-up without completed runs has no rows elsewhere.
        claims: the ids of the claims.
        verdict: what conclusion a claim has in a set-up, a function of both; None for one of each.
        random_state: seed of the numbers.
    """
    draw = np.random.default_rng(random_state)
    whole, rows, best, interactions = [], [], [], []
    there = setups.loc[setups["completed"] > 0, "setup"].tolist()
    for place, claim in enumerate(claims):
        for rank, name in enumerate(there):
            said = verdict(claim, name) if verdict else VERDICTS[(place + (rank > 7)) % 4]
            value, half = draw.normal(0.004, 0.006), draw.uniform(0.001, 0.004)
            estimate = {
                "setup": name, "id": claim, "claim": f"the claim {claim}", "conclusion": said,
                "figure_found": dict(zip(VERDICTS, FIGURES[claim], strict=True))[said]
                if claim in FIGURES else None,
                "estimand": f"generalisation gap at lambda 0.01 minus that at 0 ({claim})",
                "measure": "gap_generalisation", "l2": 0.01, "against": 0.0, "epoch": np.nan,
                "estimate": value, "low": value - half, "high": value + half, "above": np.nan,
                "below": 0.001 * place, "n": 5,
            }  # fmt: skip
            whole.append(estimate | {"scope": "seeds"})
            row = {"detail": "", "statistic": "difference", "p": np.nan, "given": np.nan,
                   "decides": "conclusion", "decisive": "yes", "at": None}  # fmt: skip
            rows.append(estimate | row)
            other = {"estimand": "something else", "estimate": 9.0, "decisive": "no"}
            rows.append(estimate | row | other)
    for rank, name in enumerate(there):
        value, half = 0.003 * draw.normal() + 0.004, draw.uniform(0.001, 0.004)
        best.append(
            {"setup": name, "metric": "val_ce", "configured": "yes",
             "best_l2": 10.0 ** -(5 - rank % 4), "best_l2_low": 1e-5,
             "best_l2_high": 0.01, "share": 0.8, "reference_l2": 0.0, "n": 10,
             "test_accuracy_difference": value, "test_accuracy_low": value - half,
             "test_accuracy_high": value + half, "test_ce_difference": -0.01,
             "test_ce_low": -0.02, "test_ce_high": -0.001,
             "resolved": "yes" if abs(value) > half else "no",
             "grid": "inside", "next_l2": np.nan, "picked": 1, "test_accuracy_left_out": value,
             "test_accuracy_regret": 0.001, "test_accuracy_regret_one_seed": 0.002,
             "test_ce_regret": 0.001, "test_ce_regret_one_seed": 0.002,
             "other_l2": 10.0 ** -(5 - rank % 4), "other_difference": 0.0,
             "metrics_differ": "no"}
        )  # fmt: skip
        if name == BASE:
            continue
        factor, _, level = name.partition("~")
        for l2 in (1e-5, 1e-3, 1e-2):
            interactions.append(
                {"setup": name, "factor": factor, "level": level, "measure": "test_accuracy",
                 "l2": l2, "reference_l2": 0.0, "n": 10, "effect": 0.01, "effect_in_base": 0.005,
                 "difference": 0.005, "low": 0.001, "high": 0.009, "p_t": 0.01,
                 "p_holm": 0.001 if rank % 3 == 1 else 0.4, "diverged_seeds": ""}
            )  # fmt: skip
    return {
        "setups": setups,
        "verdicts": pd.DataFrame(whole),
        "all_claims": pd.DataFrame(rows),
        "best": pd.DataFrame(best),
        "interactions": pd.DataFrame(interactions),
    }


def factors_config(factors: dict, full: bool = False) -> dict:
    """Return the keys of a configuration that make a study with these factors."""
    where = {"train_size": "dataset", "split": "validation"}
    found = {}
    for name, (_, others) in factors.items():
        part = where.get(name, "training")
        found[f"{part}.{name}"] = [json.loads(v) if v[0].isdigit() else v for v in others]
    return {"factors": found, "design": "full" if full else "one_at_a_time"}
