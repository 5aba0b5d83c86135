"""A copy of the project, and a tiny study run in it by real Snakemake."""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

import warm
from l2study.core import code
from tiny import PROJECT

STUDY = {
    "study": "tiny",
    "dataset": {"path": "tiny.npz"},
    "validation": {"fraction": 0.2},
    "model": {"hidden_units": [8]},
    "training": {"learning_rate": 0.01, "batch_size": 32, "epochs": 3},
    "lambdas": [0, 0.001, 0.03],
    "seeds": 3,
}

STRIKING = {"PYTHONPATH": str(PROJECT / "tests" / "strikes")}
"""The environment in which Python imports tests/strikes/sitecustomize.py at its start."""

_NOT_COPIED = (".*", "results", "logs", "tests", "benchmarks")


class Project:
    """A copy of the project in a folder of its own, made unless it is there already.

    With `warm`, studies may be run by processes that serve several: see tests/warm.py.
    """

    warm = True

    def __init__(self, folder: Path):
        self.folder = folder
        if not (folder / "Snakefile").exists():
            shutil.copytree(
                PROJECT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED), dirs_exist_ok=True
            )

    @property
    def results(self) -> Path:
        return self.folder / "results" / "tiny"

    def configure(self, **changes) -> None:
        """Write tiny.yaml: the tiny study with these keys in place of its own."""
        text = yaml.safe_dump(STUDY | changes, sort_keys=False)
        (self.folder / "tiny.yaml").write_text(text)

    def shorten_report(self) -> None:
        """Leave of the report its beginning and the figure of gaps: drawing takes long.

        For tests of what happens around a report. Whole ones are those of the project `finished`.
        """
        reports = self.folder / "reports"
        for caption in (reports / "captions").glob("*.rst"):
            if caption.stem != "gap":
                caption.unlink()
        notebook = json.loads((reports / "report.ipynb").read_text())
        kept = ("config = ", "page.header(", "page.overview(", "page.answer(")
        kept += ('page.figure(study, "gap"', "page.sources(")
        cells = [(cell, "".join(cell["source"])) for cell in notebook["cells"]]
        notebook["cells"] = [cell for cell, text in cells if any(word in text for word in kept)]
        assert len(notebook["cells"]) == len(kept)
        (reports / "report.ipynb").write_text(json.dumps(notebook))

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run Snakemake on tiny.yaml and return what happened.

        In a process that has imported it before, where that makes no difference.
        """
        command, own = self._command(arguments), self._environment()
        if self.warm and own.keys().isdisjoint(STRIKING) and self._has_the_code_of_the_project():
            return warm.snakemake(command, self.folder, own)
        started = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        printed = started.communicate()
        return subprocess.CompletedProcess(started.args, started.returncode, *printed)

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        """Start Snakemake on tiny.yaml, in a process group of its own as a terminal does.

        On two cores of this machine, unless `arguments` say otherwise or name the profile of a
        cluster.
        """
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "snakemake"), *self._command(arguments)],
            cwd=self.folder,
            env=self._environment(),
            process_group=0,
            # as in a terminal, even where the tests themselves were started with Ctrl-C ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        own_cores = {"--cores", "--workflow-profile"} & set(arguments)
        cores = [] if own_cores else ["--cores", "2"]
        return [*arguments, *cores, "--configfile", "tiny.yaml"]

    def _environment(self) -> dict[str, str]:
        """Return the environment of a user, but for XLA's cache of compiled programs."""
        own = {k: v for k, v in os.environ.items() if not k.startswith("L2STUDY")}
        if self._strikes.exists():
            own |= STRIKING | {"STRIKES": str(self._strikes)}
        return own

    def _has_the_code_of_the_project(self) -> bool:
        """Return whether what trains and measures is as it is in the project."""

        def contents(project: Path) -> list[bytes]:
            programs = [project / "scripts" / f"{name}.py" for name in ("train", "measure")]
            return [path.read_bytes() for path in code.code(*programs)]

        return contents(self.folder) == contents(PROJECT)

    @property
    def _strikes(self) -> Path:
        return self.folder / ".strikes.json"

    def strike(self, *strikes: dict) -> None:
        """Let programs of the study be struck as tests/strikes says, once it is started anew."""
        for old in self.folder.glob(f"{self._strikes.stem}.*"):
            old.unlink()
        self._strikes.write_text(json.dumps(strikes))

    def struck(self) -> bool:
        """Return whether the moment of every strike has come, for one program at least."""
        strikes = range(len(json.loads(self._strikes.read_text())))
        return all(self._strikes.with_suffix(f".reached-{n}").exists() for n in strikes)

    def release(self) -> None:
        """Let programs that wait go on, and strike no more."""
        self._strikes.unlink()

    def processes(self) -> list[int]:
        """Return the ids of all processes that work in this project's folder."""
        found = []
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if (process / "cwd").resolve().is_relative_to(self.folder.resolve()):
                    found.append(int(process.name))
        return found

    def kill(self) -> None:
        """End, as a power cut would, every process that works in this project's folder."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def copy(self, folder: Path) -> "Project":
        """Return a copy of the project as it stands, with Snakemake's records, in `folder`."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def tables(self) -> dict[str, list[dict[str, str]]]:
        """Return every table, cell by cell as text, without the columns of times and memory."""
        found = {}
        for path in sorted((self.results / "tables").glob("*.csv")):
            with open(path, newline="") as file:
                rows = list(csv.DictReader(file))
            costs = {"cpu_seconds", "peak_memory_mb"}
            found[path.name] = [
                {k: v for k, v in row.items() if k not in costs and not k.startswith("seconds")}
                for row in rows
            ]
        return found
