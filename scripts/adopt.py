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

from snakemake.utils import update_config

from l2study.core.code import fingerprint
from l2study.core.config import ConfigError, check, read_config, read_keys
from l2study.core.design import Design
from l2study.core.paths import run_folder
from l2study.core.program import parser
from l2study.core.runs import is_whole
from l2study.data.preparation import prepare
from l2study.data.prepared import DataError
from l2study.workflow import lock

PROJECT = Path(__file__).resolve().parents[1]

CONFIG = PROJECT / "config.yaml"

LONG_AGO = 86400.0
"""A time before that of any file of code, in seconds. Snakemake takes zero for no time at all."""

AT_ONCE = 500
"""How many files Snakemake is told of at a time: a command line cannot be of any length."""


def adopt(study: dict, file: Path) -> str:
    """Tell Snakemake of the runs in the working directory that belong to a study, and return in
    words how many these are; `study` is the canonical configuration that was read from `file`.

    Raises:
        ConfigError, DataError: there are no results, or data cannot be used.
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
    if (base := design.base).in_rounds:
        design = design.in_round(base.until["max_seeds"] if base.until else base.reach)
    manifests = {place: Path(f"{results}{place}", "data.json") for place in design.data}
    data = {place: prepare(own, manifests[place])["sha256"] for place, own in design.data.items()}
    there, kept, code = 0, [], fingerprint("train")
    for setup, l2, seed in itertools.product(design.setups, design.base.lambdas, design.base.seeds):
        run = run_folder(f"{results}{setup.place}", l2, seed)
        there += run.exists()
        promised = setup.promised | {
            "sources": setup.sources(seed),
            "data_sha256": data[setup.data_place],
            "code": code,
        }
        if is_whole(run, l2, seed, promised):
            kept.append(run / "run.json")
    tell_snakemake(file, [*manifests.values(), *kept])
    words = f"{len(kept)} of {there} runs found are kept"
    if len(kept) < there:
        words += ". The others are incomplete or have another configuration, data or code"
    return f"{words}. Start the study to make what is missing, and tables and report."


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
        study = read_keys(CONFIG)
        update_config(study, read_keys(file))
        print(adopt(check(study), file))
    except (ConfigError, DataError) as error:
        sys.exit(f"config: {error}")
    except lock.OwnedError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(error.stderr.strip())


if __name__ == "__main__":
    main()
