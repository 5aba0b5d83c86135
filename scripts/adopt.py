"""Keep runs that were copied here without Snakemake's records, the folder .snakemake.

Without these, Snakemake does not know what results were made with. But every run has a record of
its own. So the data are prepared again, and Snakemake is told of each run whose files are complete
and belong to the configuration, to these data, and to the code of training. The next start of the
study trains the other runs, and makes tables and report again.

Example:
    python scripts/adopt.py mine.yaml
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from l2study.core.code import fingerprint
from l2study.core.config import ConfigError, check, read_config, read_keys
from l2study.core.design import Design, Setup
from l2study.core.paths import run_folder
from l2study.core.program import parser
from l2study.core.runs import DamagedRunError, read_run, read_weights
from l2study.data.preparation import prepare
from l2study.data.prepared import DataError, checksum
from l2study.workflow import lock

PROJECT = Path(__file__).resolve().parents[1]

CONFIG = PROJECT / "config.yaml"

LONG_AGO = 86400.0
"""A time before that of any file of code, in seconds. Snakemake takes zero for no time at all."""

AT_ONCE = 500
"""How many files Snakemake is told of at a time: a command line cannot be of any length."""


def adopt(study: dict, file: Path) -> str:
    """Tell Snakemake of the runs that belong to a study, and return in words how many these are.

    The results are those in the working directory.

    Args:
        study: a canonical configuration.
        file: that it was read from.

    Raises:
        ConfigError: there are no results, or the data have too few rows for the configuration.
        DataError: the data are absent or damaged.
        OwnedError: another process is at work on the study.
        CalledProcessError: Snakemake has failed; `stderr` says why.
    """
    results = Path("results", study["study"])
    if not results.is_dir():
        raise ConfigError(f"study: there is no folder {results}; copy the results there first")
    # Snakemake makes again whatever is older than what it is made from, if it has no record of it.
    for path in results.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    lock.hold(lock.path_of(study["study"]))
    design = Design.of(study, checked=True)
    if design.base.in_rounds:
        most = design.base.until["max_seeds"] if design.base.until else design.base.reach
        design = design.in_round(most)
    manifests = {place: Path(f"{results}{place}", "data.json") for place in design.data}
    for place, setup in design.data.items():
        prepare(setup, manifests[place])
    there, kept = 0, []
    for setup in design.setups:
        for l2, seed in itertools.product(setup.lambdas, setup.seeds):
            run = run_folder(f"{results}{setup.place}", l2, seed)
            there += run.exists()
            if run.exists() and belongs(run, l2, seed, setup, manifests[setup.data_place]):
                kept.append(run / "run.json")
    tell_snakemake(file, [*manifests.values(), *kept])
    words = f"{len(kept)} of {there} runs found are kept"
    if len(kept) < there:
        words += ". The others are incomplete or have another configuration, data or code"
    return f"{words}. Start the study to make what is missing, and tables and report."


def belongs(run: Path, l2: str, seed: int, setup: Setup, manifest: Path) -> bool:
    """Return whether a run is complete, and of this set-up, these data and this code.

    Args:
        run: its folder.
        l2: the label of its lambda.
        seed: its seed.
        setup: that it should be of.
        manifest: of the prepared data.
    """
    promised = setup.promised | {
        "sources": setup.sources(seed),
        "data_sha256": checksum(manifest),
        "code": fingerprint("train"),
    }
    try:
        read_weights(run, read_run(run, l2, seed, promised).record)
    except (DamagedRunError, KeyError):
        return False
    return True


def merged(keys: dict, own: dict) -> dict:
    """Return `keys` with those of `own` in their place, as Snakemake merges two files.

    Programs import nothing of Snakemake; see `snakemake_compat` for why.
    """
    return keys | {
        key: merged(keys[key], value)
        if isinstance(value, dict) and isinstance(keys.get(key), dict)
        else value
        for key, value in own.items()
    }


def tell_snakemake(file: Path, made: Iterable[Path]) -> None:
    """Let Snakemake record that the files `made` are there and are right."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile")]
    command += ["--configfile", str(file), "--cores", "1", "--no-hooks", "--touch", "--force"]
    names = list(map(str, made))
    for first in range(0, len(names), AT_ONCE):
        subprocess.run(
            [*command, "--", *names[first : first + AT_ONCE]],
            check=True, capture_output=True, text=True,
        )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Adopt the runs of a study; exit with one line if that is not possible."""
    options = parser(__doc__)
    words = "a YAML file; a missing key has its value in config.yaml (config.yaml)"
    options.add_argument("file", type=Path, nargs="?", default=CONFIG, help=words)
    file = options.parse_args(arguments).file
    try:
        read_config(file)  # for faults of this file alone
        study = check(merged(read_keys(CONFIG), read_keys(file)), defaults=False)
        print(adopt(study, file))
    except (ConfigError, DataError) as error:
        sys.exit(f"config: {error}")
    except lock.OwnedError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(error.stderr.strip())


if __name__ == "__main__":
    main()
