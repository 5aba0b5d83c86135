"""Compare what this working tree makes of four small studies with what a former commit made.

Both are run by Snakemake from the beginning. Histories and weights must be equal byte for byte, all
numbers of tables and measures to a relative 1e-12, words and keys to the letter. Figures are
compared as well. `CHANGES` lists the differences that are meant. What tables of
`reference/` follow from its histories and runs alone is computed again by the code of this tree.

    python tests/golden/golden.py [--base COMMIT] [--only STUDY ...]

What the former commit made is kept in .cache/golden/ and not made again.
"""

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

PROJECT = Path(__file__).resolve().parents[2]
STUDIES = sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))
CACHE = PROJECT / ".cache" / "golden"
BASE = "dc423ce"
"""The commit whose results are right: version 1.0, whose numbers two reviews recomputed."""

CHANGES = {
    "tables": {
        "answer": None,
        "verdicts": None,
    },  # a former name, and the name now; None for a table that is gone
    # the same for (table or "*", column)
    "columns": {
        ("runs", "seconds_setup"): "seconds_startup",
        ("setups", "close_to_given"): "matches_exercise",
        ("one_seed", "says"): "finding",
        ("one_seed", "by_seeds"): "which_seeds",
        ("choice", "val_ce_mean"): "mean",
        ("choice", "val_ce_se"): None,  # now that of a difference
        **{
            ("best", f"test_{of}_{end}"): None  # count that lambda was chosen
            for of in ("accuracy", "ce")
            for end in ("low", "high")
        },
        ("best", "resolved"): None,
    },
    # columns that are new, or say by a key what a sentence said
    "new": {
        "choice": {
            *("metric", "configured", "difference", "difference_se", "grid", "next_l2"),
        },
        "best": {
            *("metric", "configured", "picked", "grid", "next_l2", "resolved", "metrics_differ"),
            *("other_l2", "other_difference", "other_low", "other_high"),
            *(
                f"test_{of}_{name}"
                for of in ("accuracy", "ce")
                for name in ("low", "high", "left_out", "regret", "regret_one_seed")
            ),
        },
        "power": {"scope", "least_difference", "images", "seeds_with_images"},
    },
    "new_tables": {"spread", "dose_response", "equivalence", "course", "data_check"},
    "new_figures": {"accuracy_and_gap", "dose_response", "weight_histogram"},
    "gone_figures": {"gap_variance"},  # Bonett's intervals of so few runs tell nothing
    # tables whose numbers are those of all runs of a crossed design
    "of_all_runs": {
        (study, name)
        for study in ("golden-crossed", "variance")
        for name in ("means", "contrasts", "gap", "claims")
    },
    # of claims, what is estimated in the rows that both have; verdicts and scopes have other rules
    "claims": {
        "rows": ["setup", "id", "statistic", "measure", "l2", "against", "epoch"],
        "numbers": ["estimate", "above", "below", "p", "n", "given"],
    },
    "scoped": {"power"},  # tables that have got rows for other images too
    "by_metric": {"choice", "best"},  # tables that have got rows for another metric
    "keys": {},  # the same for keys of run.json and of a file of measures
    "new_keys": {"program", "predict_at"},  # keys of run.json that are new
    # measures that are of other images too only now, as their predictions are kept
    "wider": {"test_accuracy_best", "test_ce_best"},
    "new_measures": {
        *("val_accuracy_max_epoch", "never_lit_decay", "never_lit_left", "balance_decay")
    },
    # claims that no longer apply where validation chooses the lambda that is compared with
    "not_asked": "reference_chosen",
    "figures": {  # why a figure of a study is drawn otherwise
        ("golden-diverging", "sensitivity"): "the key had other colours than the dots",
        ("golden-diverging", "learning_curves"): "the key names the lines of diverged runs",
        ("golden-diverging", "benefit"): "a missing interval was an invisible line, now it is none",
        ("golden-factors", "benefit"): "intervals count that lambda was chosen",
        **{
            (f"golden-{study}", figure): "two questions in place of one verdict"
            for study in ("diverging", "factors")
            for figure in ("verdict_map", "specification")
        },
        **{
            (f"golden-{study}", figure): "draws the intervals for other images, too"
            for study in STUDIES
            for figure in ("calibration", "creep", "decomposition", "gap", "robustness")
        },
        **{
            ("golden-crossed", figure): "means are of all runs"
            for figure in (
                *("calibration", "contrasts", "decomposition", "gap", "loss_parts"),
                *("robustness", "weight_norm"),
            )
        },
    },
}
"""What is called otherwise on purpose, is drawn otherwise, or is gone."""

VARIES = ("seconds", "cpu_seconds", "peak_memory_mb")
"""How columns of costs begin, which no two runs have in common."""


def tree_of(commit: str | None) -> Path:
    """Return a folder with the files of `commit`, or of the working tree."""
    folder = CACHE / (commit or "now")
    if commit is None:
        shutil.rmtree(folder, ignore_errors=True)
        listed = git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split(b"\0")
        for name in filter(None, map(os.fsdecode, listed)):
            if (PROJECT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, folder / name)
    elif not (folder / "Snakefile").exists():
        with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as archive:
            archive.extractall(folder, filter="data")
    return folder


def git(*arguments: str) -> bytes:
    """Return what git prints."""
    return subprocess.run(["git", *arguments], cwd=PROJECT, check=True, capture_output=True).stdout


def made(tree: Path, study: str) -> Path:
    """Return the results of a study in a tree, made unless they are there."""
    results = tree / "results" / f"golden-{study}"
    if not (results / "report" / "summary.md").exists():
        binaries = Path(sys.executable).parent
        done = subprocess.run(
            [
                binaries / "snakemake",
                "--cores",
                "2",
                "--configfile",
                Path(__file__).parent / f"{study}.yaml",
            ],
            cwd=tree,
            env=os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{tree}: the study {study} failed:\n{done.stdout}")
    return results


def differences(before: Path, now: Path) -> Iterator[str]:
    """Yield in words what differs between two folders of results."""
    for pattern, compare in (
        ("**/history.csv", history),
        ("**/weights.npz", arrays),
        ("**/run.json", numbers),
        ("**/measures/*.json", numbers),
        ("**/measures/*.npz", arrays),
        ("tables/*.csv", table),
        ("**/figures/*.svg", picture),
    ):
        old, new = ({p.relative_to(f) for p in f.glob(pattern)} for f in (before, now))
        if pattern == "tables/*.csv":
            old = {
                path.with_stem(CHANGES["tables"].get(path.stem) or path.stem)
                for path in old
                if CHANGES["tables"].get(path.stem, "") is not None
            }
            new = {path for path in new if path.stem not in CHANGES["new_tables"]}
        if pattern == "**/figures/*.svg":
            old = {path for path in old if path.stem not in CHANGES["gone_figures"]}
            new = {path for path in new if path.stem not in CHANGES["new_figures"]}
        yield from (
            f"{path}: only {side}"
            for side, paths in (("before", old - new), ("now", new - old))
            for path in sorted(paths)
        )
        for path in sorted(old & new):
            yield from (f"{path}: {fault}" for fault in compare(before, now, path))


def history(before: Path, now: Path, path: Path) -> Iterator[str]:
    """Compare histories byte for byte, without their last column, `seconds`."""
    old, new = (
        [line.rpartition(",")[0] for line in (folder / path).read_text().splitlines()]
        for folder in (before, now)
    )
    if old != new:
        yield "differs"


def arrays(before: Path, now: Path, path: Path) -> Iterator[str]:
    """Compare the arrays of two .npz files bit for bit."""
    with np.load(before / path) as old, np.load(now / path) as new:
        kept = [name for name in new if "@" not in name]  # those of earlier epochs are new
        if list(old) != kept:
            yield f"has other arrays: {list(old)} and {kept}"
            return
        yield from (f"{name} differs" for name in old if old[name].tobytes() != new[name].tobytes())


def numbers(before: Path, now: Path, path: Path) -> Iterator[str]:
    """Compare two JSON files, but for costs and what is of one commit or time alone."""
    yield from _unequal(*(json.loads((folder / path).read_text()) for folder in (before, now)), "")


_OF_ONE = (
    "code",
    "history_sha256",
    "measured_with",
    "environment",
    "cost",
    "started",
    "finished",
    "predictions_sha256",
)


def _unequal(old: object, new: object, where: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        renamed = {CHANGES["keys"].get(key, key): value for key, value in old.items()}
        renamed.pop(None, None)
        for key in {**renamed, **new}:
            if key in (*_OF_ONE, *CHANGES["new_keys"]) or key.startswith(VARIES):
                continue
            if key not in new or key not in renamed:
                yield f"{where}{key} is only {'before' if key in renamed else 'now'}"
            else:
                yield from _unequal(renamed[key], new[key], f"{where}{key}.")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _unequal(*pair, f"{where}{number}.")
    elif isinstance(old, float) and isinstance(new, float):
        if not np.isclose(old, new, rtol=1e-12, atol=0, equal_nan=True):
            yield f"{where[:-1]} was {old} and is {new}"
    elif old != new:
        yield f"{where[:-1]} was {str(old)[:80]} and is {str(new)[:80]}"


def table(before: Path, now: Path, path: Path) -> Iterator[str]:
    """Compare two tables, after renaming columns of the former as `CHANGES` says."""
    if (now.name, path.stem) in CHANGES["of_all_runs"]:
        return
    former = {new: old for old, new in CHANGES["tables"].items()}.get(path.stem, path.stem)
    old = pd.read_csv((before / path).with_stem(former), dtype=str, keep_default_na=False)
    new = pd.read_csv(now / path, dtype=str, keep_default_na=False)
    if path.stem == "claims":
        yield from unequal_tables(*_estimates(old, new))
        return
    if path.stem in CHANGES["scoped"]:
        new = new[new["scope"] == "seeds"].reset_index(drop=True)
    if path.stem in CHANGES["by_metric"]:
        new = new[new["configured"] == "yes"].reset_index(drop=True)
    if path.stem == "choice":  # the rule of one standard error has another error
        old, new = (
            rows[rows["rule"] != "one_standard_error"].reset_index(drop=True) for rows in (old, new)
        )
    added = {*CHANGES["new"].get(path.stem, ()), *CHANGES["new_measures"]}
    new = new[[c for c in new if c not in added]]
    if "measure" in new:
        new = new[~new["measure"].isin(CHANGES["new_measures"])]
    if path.stem in ("contrasts", "means"):
        new = new[~new["measure"].isin(CHANGES["wider"]) | (new["scope"] == "seeds")]
    yield from unequal_tables(renamed(old, path.stem), new)


def _estimates(old: pd.DataFrame, new: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the estimates of two tables of claims, in the rows that both have."""
    rows, numbers = CHANGES["claims"]["rows"], CHANGES["claims"]["numbers"]
    found = []
    for table in (old, new):
        whole = table["estimand"].str.startswith(("overall", "the same rules after"))
        if "note" in table:
            whole |= table["note"] == CHANGES["not_asked"]
        found.append(table.loc[~whole, [*rows, *numbers]].drop_duplicates(rows).set_index(rows))
    shared = found[0].index.intersection(found[1].index)
    return tuple(table.loc[shared].reset_index() for table in found)


def renamed(old: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a former table with its columns called as now, and without those that are gone."""
    new = {c: CHANGES["columns"].get((name, c), CHANGES["columns"].get(("*", c), c)) for c in old}
    return old[[c for c in old if new[c] is not None]].rename(columns=new)


def unequal_tables(old: pd.DataFrame, new: pd.DataFrame) -> Iterator[str]:
    """Compare two tables of text, cell by cell; columns may be in another order."""
    if set(old) != set(new):
        gone, added = sorted(set(old) - set(new)), sorted(set(new) - set(old))
        yield f"columns only before: {gone}; only now: {added}"
    if len(old) != len(new):
        yield f"had {len(old)} rows and has {len(new)}"
        return
    for column in [c for c in old if c in new and not c.startswith(VARIES)]:
        for row, (a, b) in enumerate(zip(old[column], new[column], strict=True)):
            if a != b and not _close(a, b):
                yield f"row {row + 1}: {column} was {a[:80]!r} and is {b[:80]!r}"
                break


def _close(a: str, b: str) -> bool:
    try:
        x, y = float(a), float(b)
    except ValueError:
        return False
    # A sum that cancels leaves rounding alone: 1e-16 where the terms are near 1.
    return bool(np.isclose(x, y, rtol=1e-12, atol=1e-15))


def picture(before: Path, now: Path, path: Path) -> Iterator[str]:
    """Compare two figures: what they draw, and where, to a thousandth of a point.

    Matplotlib names a clipping path by a checksum of its last digits.
    """
    if (now.name, path.stem) in CHANGES["figures"]:
        return
    old, new = ((folder / path).read_text() for folder in (before, now))
    if re.sub(_DIGITS, "", old) != re.sub(_DIGITS, "", new):
        yield "draws something else"
        return
    numbers = [[float(n) for n in re.findall(_NUMBER, re.sub(_NAME, "", t))] for t in (old, new)]
    if not np.allclose(*numbers, rtol=0, atol=1e-3):
        yield "draws something elsewhere"


_NAME = r"[#\"]p[0-9a-f]{10}"
_NUMBER = r"-?\d+\.?\d*(?:e-?\d+)?"
_DIGITS = f"{_NAME}|{_NUMBER}"


def rebuilt() -> Iterator[str]:
    """Yield what the tables of reference/ would be otherwise, rebuilt from histories and runs."""
    sys.path.insert(0, str(PROJECT / "scripts"))
    import from_reference

    for study in sorted(path.parent.name for path in (PROJECT / "reference").glob("*/tables")):
        folder = PROJECT / "reference" / study / "tables"
        for name, new in from_reference.tables(folder).items():
            older = (study, name) in CHANGES["of_all_runs"]
            if older or not (folder / f"{name}.csv").exists():
                continue
            old = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
            if "scope" in old:
                old = old[old["scope"] == "seeds"]
            text = new.to_csv(index=False)
            new = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
            both = [c for c in old if c in new]
            faults = unequal_tables(old[both].reset_index(drop=True), new[both])
            yield from (f"reference/{study}/tables/{name}.csv: {fault}" for fault in faults)


def main() -> None:
    """Run the command line; exit with 1 if anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default=BASE, help=f"the commit to compare with ({BASE})")
    parser.add_argument("--only", nargs="+", choices=[*STUDIES, "reference"], default=[])
    options = parser.parse_args()
    wanted = options.only or [*STUDIES, "reference"]
    faults = []
    if "reference" in wanted:
        faults += rebuilt()
    studies = [study for study in STUDIES if study in wanted]
    trees = [tree_of(options.base), tree_of(None)] if studies else []
    for study in studies:
        faults += [
            f"{study}: {fault}" for fault in differences(*(made(tree, study) for tree in trees))
        ]
    print("\n".join(faults) or f"golden: {', '.join(wanted)}: nothing differs")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
