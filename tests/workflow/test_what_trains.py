"""What a change of code makes stale: training again only where it may change a number of a run."""

import shutil

import pytest

from l2study.core.code import WORK, code_of, fingerprint
from tiny import PROJECT

L2STUDY = "scripts/l2study/"

HARMLESS = {
    "a message on the configuration": (f"{L2STUDY}core/config_faults.py", "missing;", "lacking;"),
    "the reader of runs": (f"{L2STUDY}core/runs.py", "delete the folder", "remove the folder"),
    "a path helper": (f"{L2STUDY}core/paths.py", "def run_folder(", "def folder_of_run("),
    "a docstring": (f"{L2STUDY}tables/statistics.py", '"""', '"""In other words: '),
    "the help of train.py": ("scripts/train.py", "the seed of the run", "the run's seed"),
    "an error message on the data": (f"{L2STUDY}data/sources.py", "restore the", "get the"),
    "the display": (f"{L2STUDY}training/preload.py", "perhaps because memory", "because memory"),
}
"""What is changed, as a file, what it says, and what it is to say."""

DECIDING = {
    "engine": (f"{L2STUDY}training/engine.py", '"xla": 1000', '"xla": 500'),
    "model": (f"{L2STUDY}training/model.py", "else L2(l2, l1)", "else L2(3 * l2, l1)"),
    "streams": (f"{L2STUDY}data/streams.py", '"order": 1', '"order": 9'),
    "epochs": (f"{L2STUDY}core/epochs.py", "last + 1", "last"),
    "rows": (f"{L2STUDY}data/rows.py", "1.0 - fraction", "1 - fraction"),
}


def change(folder, name, old, new):
    path = folder / name
    text = path.read_text()
    assert old in text, f"{name} does not say {old!r}"
    path.write_text(text.replace(old, new, 1))


def changed_stages(folder, *changes):
    """Return the stages whose fingerprints differ in a copy of the code with these changes."""
    shutil.copytree(PROJECT / "scripts", folder / "scripts")
    for one in changes:
        change(folder, *one)
    return {s for s in WORK if fingerprint(s, folder / "scripts") != fingerprint(s)}


@pytest.mark.parametrize("changed", HARMLESS)
def test_what_decides_no_number_trains_prepares_and_measures_nothing(tmp_path, changed):
    assert changed_stages(tmp_path, HARMLESS[changed]) == set()


@pytest.mark.parametrize("changed", DECIDING)
def test_what_decides_a_number_trains_all_again(tmp_path, changed):
    assert "train" in changed_stages(tmp_path, DECIDING[changed])


def test_training_depends_on_these_files_alone():
    """An import in one of them makes runs stale for another reason: is it needed there?"""
    found = {path.relative_to(PROJECT / L2STUDY).as_posix() for path in code_of("train")}
    assert found == {
        "core/columns.py",
        "core/epochs.py",
        "core/predictions.py",
        "data/prepared.py",
        "data/rows.py",
        "data/streams.py",
        "training/backend.py",
        "training/engine.py",
        "training/loop.py",
        "training/model.py",
    }


@pytest.mark.parametrize("stage", ["prepare", "check_data", "measure"])
def test_the_other_stages_depend_on_no_reader_of_configurations_or_runs(stage):
    found = {path.relative_to(PROJECT / L2STUDY).as_posix() for path in code_of(stage)}
    assert {name for name in found if name.startswith("core/")} <= {
        "core/columns.py",
        "core/predictions.py",
    }
    assert "data/sources.py" not in found


@pytest.mark.slow
def test_snakemake_says_the_same(finished, tmp_path):
    """A path helper is only added here, since the workflow runs with the changed code."""
    project = finished.copy(tmp_path / "copy")
    target = "results/tiny/measures/l2~0.json"
    for name, *words in HARMLESS.values():
        if "paths" not in name:
            change(project.folder, name, *words)
    with open(project.folder / L2STUDY / "core" / "paths.py", "a") as file:
        file.write("\n\ndef another(folder):\n    return folder\n")
    assert project.planned(target) == {}
    change(project.folder, *DECIDING["engine"])
    assert project.planned(target) == {"model": 1, "train": 3, "measure": 1}


@pytest.mark.slow
def test_the_data_of_a_finished_study_are_checked_without_training(finished, tmp_path):
    """As after an update, in which a check of the data is new; also where arrays were deleted."""
    project = finished.copy(tmp_path / "copy")
    (project.results / "data.check.json").unlink()
    change(project.folder, "schemas/tables.yaml", "# The tables", "# All tables")
    expected = {"check_data": 1, "aggregate": 1, "report": 1, "all": 1}
    assert project.planned() == expected
    (project.results / "data.images.npy").unlink()
    assert project.planned() == expected
    change(project.folder, f"{L2STUDY}data/check.py", "FEW_ROWS = 5", "FEW_ROWS = 6")
    assert project.planned() == expected
