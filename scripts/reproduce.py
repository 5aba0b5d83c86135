"""Hold a finished study against the reference results that travel with the project.

On the same kind of machine, every history must be that of the reference, byte for byte. On another
kind, every mean over seeds must lie inside the joint interval with that of the reference, but for
as many as chance allows, and none may lie so far outside that chance is no explanation. The result
is one line, and RESULTS/reproduction.csv has every mean. Exits with 1 if the study does not
reproduce the reference.

Example:
    python scripts/reproduce.py --configfile studies/exercise.yaml
    python scripts/reproduce.py --configfile mine.yaml --keep
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

from l2study.core.config import ConfigError, read_config
from l2study.core.files import read_json, write_json, write_table
from l2study.core.labels import l2_label
from l2study.core.program import parser
from l2study.core.wording import percent
from l2study.data.prepared import reason
from l2study.report.study import ReportError, environments, read_package, read_tables
from l2study.tables import reproduction

PROJECT = Path(__file__).resolve().parents[1]
REFERENCE = PROJECT / "reference"
LOCK = PROJECT / "envs" / "requirements.txt"

LEFT_OUT = ("histories.csv", "interactions.csv", "runs.parquet", "weight_histogram.csv")
"""The tables that a reference lacks: they are large, and there in another form or not needed."""

OF_NO_RUN = ("study", "confidence", "reference_lambda", "choose_by", "claims")
"""The keys of a configuration that change no run."""

OF_THE_KIND = ("cpu", "tensorflow", "keras", "numpy", "threads", "devices")
"""What must be alike in the environments of runs that are to be equal byte for byte."""


class ReproductionError(ValueError):
    """The study is not the reference's, or does not reproduce it. The message is one line."""


def reproduce(results: Path, reference: Path) -> str:
    """Write every mean to `results`/reproduction.csv, and return in one line how the study there
    reproduces the one in `reference`; ReproductionError where it does not, or is another study."""
    ours, theirs = read_package(results), read_package(reference)
    check_same_study(results, reference, ours, theirs)
    runs, runs_there = read_tables(results, ours)["runs"], read_tables(reference, theirs)["runs"]
    if lost := len(runs_there) - len(runs):
        raise ReproductionError(f"{results}: lacks {lost} of {len(runs_there)} runs")
    histories = read_tables(results, ours, "parquet")["histories"]
    histories_there = read_tables(reference, theirs, "parquet")["histories"]
    confidence = ours["config"]["confidence"]
    means = reproduction.compared_means(runs, runs_there, confidence)
    write_table(means, results / "reproduction.csv")
    differ = reproduction.different_histories(histories, histories_there)
    other = other_kind(read_json(reference / "made.json"), environments(results, ours, runs))
    if differ.empty and means["inside"].all():
        although = f", although {other}" if other else ""
        return f"{results}: all {len(runs)} histories equal the reference's byte for byte{although}"
    if not differ.empty and not other:
        first = differ.iloc[0]
        where = f"l2 {l2_label(first['l2'])}, seed {first['seed']}, epoch {first['epoch']}"
        where += f" of {first['setup']}" if first["setup"] != "base" else ""
        raise ReproductionError(
            f"{results}: does not reproduce {reference}: the machine is of the same kind, and"
            f" {len(differ)} of {len(runs)} histories differ, first at {where}"
        )
    outside = means[~means["inside"]]
    allowed = reproduction.outside_by_chance(runs, runs_there, confidence)
    far = means[means["p_holm"] < 1 - confidence]
    found = (
        f"{len(outside)} of {len(means)} means lie outside the joint {percent(confidence)}"
        f" interval, and chance allows {allowed}"
    )
    if len(far):
        first = far.sort_values("p_holm").iloc[0]
        found += (
            f"; {len(far)} lie further outside than chance explains, above all {first['measure']}"
            f" at lambda {l2_label(first['l2'])} of {first['setup']}:"
            f" {first['mean']:.4g} instead of {first['mean_reference']:.4g}"
        )
    if len(far) or len(outside) > allowed:
        raise ReproductionError(f"{results}: does not reproduce {reference}: {found}")
    return f"{results}: reproduces {reference} ({other}): {found}"


def check_same_study(results: Path, reference: Path, ours: dict, theirs: dict) -> None:
    """Raise a ReproductionError if two data packages are not of the same runs on the same data."""
    mine, other = ours["config"], theirs["config"]
    keys = sorted({*mine, *other} - set(OF_NO_RUN))
    if differ := [key for key in keys if mine.get(key) != other.get(key)]:
        raise ReproductionError(
            f"{results}: is not the study of {reference}: they differ in {', '.join(differ)}"
        )
    for setup, manifest in theirs["data"].items():
        if ours["data"].get(setup, {}).get("sha256") != manifest.get("sha256"):
            raise ReproductionError(
                f"{results}: does not have the data of {reference}, in the set-up {setup}"
            )


def other_kind(made: dict, found: list[tuple[dict, int]]) -> str:
    """Return in words what makes this another kind of machine than that of the reference, of which
    `keep` has `made` a record; empty if it is of the same kind. `found` are `environments`."""
    if not found:
        return "the runs are not here to tell on what they were made"
    here = _kind([environment for environment, _ in found], processor())
    there = _kind(made["environments"], made["processor"])
    for key in here:
        if here[key] != there.get(key):
            return f"{key} is {here[key]} instead of {there.get(key)}"
    return ""


def _kind(environments: list[dict], machine: dict) -> dict[str, str]:
    found = {key: sorted({str(one.get(key)) for one in environments}) for key in OF_THE_KIND}
    return {key: ", ".join(values) for key, values in found.items()} | {
        f"the processor's {key}": value for key, value in machine.items()
    }


def processor() -> dict[str, str]:
    """Return what the order of sums in a program may depend on: the processor of this machine, by
    Linux's /proc/cpuinfo; elsewhere what Python knows of it."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {"name": platform.processor(), "machine": platform.machine()}
    found = dict(re.findall(r"^(.*?)\s*: (.*)$", first, re.MULTILINE))
    flags = found.get("flags", found.get("Features", ""))
    names = ("vendor_id", "cpu family", "model", "model name", "stepping", "cache size")
    return {name: found[name] for name in names if name in found} | {
        "machine": platform.machine(),
        "flags": hashlib.sha256(flags.encode()).hexdigest()[:16],
    }


def keep(results: Path, reference: Path) -> str:
    """Make the tables of the study in `results` the reference in `reference`; return a line on it.

    The folder has the tables but `LEFT_OUT`, and made.json, which says by which commit of the
    project and which lock of packages, when and on what they were made. ReportError where the runs
    are not there.
    """
    package = read_package(results)
    runs = read_tables(results, package)["runs"]
    found = environments(results, package, runs)
    if not found:
        raise ReportError(f"{results}: has no runs, whose records name the machine")
    package["resources"] = [part for part in package["resources"] if part["path"] not in LEFT_OUT]
    commit = _commit()  # before the former reference is replaced, which is a change by itself
    shutil.rmtree(reference, ignore_errors=True)
    left_out = shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(results / "tables", reference / "tables", ignore=left_out)
    write_json(reference / "tables" / "datapackage.json", package)
    alike = Counter()
    for environment, count in found:
        alike[tuple((k, str(v)) for k, v in environment.items() if k != "hostname")] += count
    made = {
        "commit": commit,
        "lock_sha256": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
        "made": date.today().isoformat(),
        "processor": processor(),
        "core_hours": round(runs["cpu_seconds"].sum() / 3600, 2),
        "environments": [dict(one) | {"runs": count} for one, count in alike.items()],
    }
    write_json(reference / "made.json", made)
    return f"{reference}: has the tables of {len(runs)} runs"


def _commit() -> str:
    """Return the commit of the project, with "-dirty" if files differ from it; "" without git."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for what is wrong."""
    command = parser(__doc__)
    command.add_argument("--configfile", help="the configuration of the study (config.yaml)")
    command.add_argument(
        "--keep", action="store_true", help="make the study the reference, in place of another"
    )
    options = command.parse_args(arguments)
    try:
        study = read_config(options.configfile or PROJECT / "config.yaml")["study"]
        results, reference = Path("results", study), Path(os.path.relpath(REFERENCE / study))
        if not options.keep and not (reference / "made.json").exists():
            there = ", ".join(sorted(path.parent.name for path in REFERENCE.glob("*/made.json")))
            raise ReproductionError(f"{reference}: there is no such reference; there are {there}")
        print((keep if options.keep else reproduce)(results, reference))
    except (ConfigError, ReproductionError, ReportError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: cannot be read or written: {reason(error)}")


if __name__ == "__main__":
    main()
