"""Studies of models that functions of the user's own build: what is trained, and when again."""

import json
import re
import shutil
from collections import Counter

import pytest

from project import Project

pytestmark = pytest.mark.xdist_group("own model")

MODELS = """
import keras

from train import units


def net(input_shape, classes, regularizer, more=0):
    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(units + more, kernel_regularizer=regularizer),
        keras.layers.Dense(classes),
    ])
"""

OTHER = MODELS.replace("from train", "from blocks").replace("net(", "wide(")

STUDY = {
    "model": {"build": "models.py:net", "arguments": {"more": 1}},
    "factors": {
        "model.arguments.more": [2],
        "build": {"wide": {"model": {"build": "others/models.py:wide"}}},
    },
    "lambdas": [0, 0.01],
    "seeds": 2,
}
PLACES = ["", "setups/more~2", "setups/build~wide"]
MADE = ("aggregate", "results/tiny/report/summary.md")
"""Of the reports, that of the base."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished study of three set-ups, whose files have the names of ours."""
    project = Project(tmp_path_factory.mktemp("own") / "study")
    project.shorten_report()
    (project.folder / "others").mkdir()
    files = {"models": MODELS, "train": "units = 4", "notes": "", "measure": "1 / 0"}
    files |= {"others/models": OTHER, "others/blocks": "units = 9"}
    for name, text in files.items():
        (project.folder / f"{name}.py").write_text(text)
    project.configure(**STUDY)
    project.trains_itself = True  # so that the process that trains starts in this folder
    project.make(*MADE)
    project.trains_itself = False
    return project


@pytest.fixture
def project(made, tmp_path):
    """A copy of the finished study for a test to change."""
    return made.copy(tmp_path / "copy")


def model_of(project, place):
    run = json.loads((project.results / place / "runs/l2~0/seed~0/run.json").read_text())
    found = [json.loads(path.read_text()) for path in (project.results / "models").iterdir()]
    (own,) = [one for one in found if one["model"] == run["config"]["model"]]
    return own


def trained(project):
    """Return how many runs of each set-up are planned to be trained."""
    text = project.make("--dry-run")
    places = re.findall(r"^ +wildcards: place=(\S*), l2=\S+, seed=", text, re.MULTILINE)
    return Counter(place.lstrip("/") for place in places)


def test_each_set_up_trains_and_describes_its_own_model(made):
    units = [model_of(made, place)["layers"][-2]["output_shape"] for place in PLACES]
    assert units == [[5], [6], [10]]
    assert model_of(made, "")["sources"] == {"models.py": MODELS, "train.py": "units = 4"}
    for place, (number,) in zip(PLACES, units, strict=True):
        record = json.loads((made.results / place / "runs/l2~0.01/seed~0/run.json").read_text())
        assert record["regularised_kernels"] == [[25, number]]
        assert record["config"]["model"]["code"] == model_of(made, place)["model"]["code"]
    summary = (made.results / "report" / "summary.md").read_text()
    code = model_of(made, "")["model"]["code"][:12]
    assert (
        f"models.py:net (more 1), checksum {code}: layers Flatten, Dense and Dense, in " in summary
    )
    assert "sequential/dense/kernel" in summary
    assert made.planned(*MADE) == {}


@pytest.mark.parametrize(
    ("file", "places"),
    [
        ("notes.py", []),
        ("train.py", ["", "setups/more~2"]),
        ("others/models.py", ["setups/build~wide"]),
    ],
)
def test_a_changed_file_trains_the_set_ups_that_use_it(project, file, places):
    with open(project.folder / file, "a") as text:
        text.write("\n# a remark\n")
    assert trained(project) == dict.fromkeys(places, 4)


def test_without_the_description_of_its_model_a_run_stays(project):
    """As a folder of results that comes without it."""
    shutil.rmtree(project.results / "models")
    project.configure(**STUDY | {"seeds": 3})
    assert trained(project) == dict.fromkeys(PLACES, 2)


def test_a_model_that_is_refused_is_one_line_and_trains_nothing(project):
    path = project.folder / "models.py"
    path.write_text(path.read_text().replace("Dense(classes)", "Dense(classes + 1)"))
    before = project.times("**/run.json")
    said = project.fail()
    assert "models.py:net has an output of shape (rows, 4); allowed: one of shape (rows, 3)" in said
    assert project.times("**/run.json") == before


def test_a_function_that_is_not_there_is_refused_before_anything_starts(project):
    project.configure(**STUDY | {"model": {"build": "models.py:nett"}})
    (line,) = [one for one in project.fail().splitlines() if one.startswith("config: ")]
    assert line == "config: model.build: models.py: has no function nett; it has: net"


def test_the_plan_times_runs_of_the_model(project):
    project.configure(**STUDY | {"model": {"build": "models.py:net", "arguments": {"more": 7}}})
    told = project.program("plan", "--cores", "2", "--configfile", "tiny.yaml")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("3 set-ups, 12 runs: 4 kept, 8 to train\n")
    assert re.search(r"about \d:\d\d \(h:mm\) of training", told.stdout)
