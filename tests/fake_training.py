"""A study whose training is faked and takes a moment, for tests of what goes on around it."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from project import Project
from tiny import PROJECT

TRAIN = '''
"""Write what a run writes, without training."""
import argparse, sys, time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("config", "data", "l2", "seed", "sources", "threads", "output"):
    parser.add_argument(f"--{name}")
options = parser.parse_args()
with open("turns", "a") as turns:
    turns.write(f"begin {options.seed}\\n")
print("epoch 1/3: train_ce 1.0", flush=True)
while Path("slow").exists():
    time.sleep(0.1)
time.sleep(0.6)
with open("turns", "a") as turns:
    turns.write(f"end {options.seed}\\n")
if Path(f"unlucky-{options.seed}").exists():
    sys.exit("out of luck")
print("epoch 3/3: train_ce 0.5", flush=True)
for name in ("history.csv", "weights.npz", "run.json"):
    Path(options.output, name).write_text("{}")
'''
"""Runs of the seed N fail where there is a file unlucky-N; all wait as long as there is `slow`.

The file `turns` of the working directory says which were at work, and when in relation to others.
"""

PRELOAD = """
ADDRESS = "PATH"

def announce():
    pass

def start():
    pass
"""
"""No TensorFlow is imported."""

RUNS = [f"results/tiny/runs/l2~0.001/seed~{seed}/run.json" for seed in range(4)]

ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME")}
"""That of a user."""


class FakeTraining(Project):
    """A study of four runs: one lambda, four seeds."""

    preloaded = False

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.configure()
        (folder / "scripts" / "train.py").write_text(TRAIN)
        (folder / "scripts" / "l2study" / "training" / "preload.py").write_text(PRELOAD)

    def configure(self, **changes) -> None:
        super().configure(**{"lambdas": [0.001], "seeds": 4} | changes)

    def change(self, module: str, old: str, new: str) -> None:
        """Put `new` in the place of `old`, wherever it is in a module of l2study."""
        path = self.folder / "scripts" / "l2study" / f"{module}.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def trained(self) -> set[int]:
        """Return the seeds of the runs that are there."""
        return {seed for seed, run in enumerate(RUNS) if (self.folder / run).exists()}

    def run(self, *arguments: str, executor: str | None = None) -> subprocess.CompletedProcess:
        """Run Snakemake for the four runs, on two cores, or as jobs of tests/executor."""
        command = [str(Path(sys.executable).parent / "snakemake"), "--configfile", "tiny.yaml"]
        command += ["--workflow-profile", self._profile()] if executor else ["--cores", "2"]
        return subprocess.run(
            [*command, *arguments, "--", *RUNS],
            cwd=self.folder,
            env=ENVIRONMENT | {"PYTHONPATH": str(PROJECT / "tests" / "executor")},
            capture_output=True,
            text=True,
        )

    def _profile(self) -> str:
        """Return a profile that is that for Slurm but for the executor and the waiting."""
        slurm = yaml.safe_load((PROJECT / "profiles" / "slurm" / "config.yaml").read_text())
        here = {key: value for key, value in slurm.items() if "slurm" not in key}
        here |= {"executor": "here", "seconds-between-status-checks": 1, "latency-wait": 5}
        (self.folder / "profiles" / "here").mkdir(exist_ok=True)
        (self.folder / "profiles" / "here" / "config.yaml").write_text(yaml.safe_dump(here))
        return "profiles/here"
