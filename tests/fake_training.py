"""A study whose training is faked and takes a moment, for tests of what goes on around it."""

import os
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
for name in ("history.csv", "weights.npz", "predictions.npz", "run.json"):
    Path(options.output, name).write_text("{}")
'''
"""Runs of the seed N fail where there is a file unlucky-N; all wait as long as there is `slow`.

The file `turns` of the working directory says which were at work, and when in relation to others.
"""

MODEL = '''
"""Write a description of no model."""
import sys
from pathlib import Path

Path(sys.argv[sys.argv.index("--output") + 1]).write_text("{}")
'''

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

AS_JOBS = ("--workflow-profile", "profiles/here")
"""What lets Snakemake send the runs away, as jobs of tests/executor."""


class FakeTraining(Project):
    """A study of four runs, one lambda and four seeds, of which nothing but the runs is made."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        (folder / "scripts" / "train.py").write_text(TRAIN)
        (folder / "scripts" / "model.py").write_text(MODEL)
        (folder / "scripts" / "l2study" / "training" / "preload.py").write_text(PRELOAD)
        # the profile for Slurm but for the executor and the waiting
        slurm = yaml.safe_load((PROJECT / "profiles" / "slurm" / "config.yaml").read_text())
        here = {key: value for key, value in slurm.items() if "slurm" not in key}
        here |= {"executor": "here", "seconds-between-status-checks": 1, "latency-wait": 5}
        (folder / "profiles" / "here").mkdir()
        (folder / "profiles" / "here" / "config.yaml").write_text(yaml.safe_dump(here))

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

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [*super()._command(arguments), "--", *RUNS]

    def _environment(self) -> dict[str, str]:
        return ENVIRONMENT | {"PYTHONPATH": str(PROJECT / "tests" / "executor")}
