import csv
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import events as command
from l2study.core.columns import ALL_COLUMNS, HISTORY_COLUMNS
from synthetic import write_study
from tiny import PROJECT

pytestmark = pytest.mark.slow  # TensorBoard takes seconds to import

CONFIG = '{"seeds": [0, 1, 2]}'


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of which a run diverged in epoch 2, and the event files of its lambda 0.001."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, lambdas=[0, 1e-3], seeds=[0, 1, 2], epochs=4, diverged={(1e-3, 1): 2})
    write(folder, folder / "tensorboard" / "l2~0.001")
    return folder


def write(results, output, l2="1e-3", config=CONFIG):
    command.main(
        ["--config", config, "--l2", l2, "--results", str(results), "--output", str(output)]
    )


def read(study, seed):
    events = EventAccumulator(str(study / "tensorboard" / "l2~0.001" / f"seed~{seed}"))
    return events.Reload()


def history(study, seed):
    with open(study / "runs" / "l2~0.001" / f"seed~{seed}" / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("seed", [0, 1])
def test_tensorboard_reads_the_history(study, seed):
    found, rows = read(study, seed), history(study, seed)
    assert len(rows) == (2 if seed == 1 else 5)
    by_column = {tag.partition("/")[2]: tag for tag in found.Tags()["scalars"]}
    assert set(by_column) == set(HISTORY_COLUMNS) - {"l2", "seed", "epoch"}
    for column, tag in by_column.items():
        points = {point.step: point.value for point in found.Scalars(tag)}
        expected = {int(row["epoch"]): float(row[column]) for row in rows if row[column]}
        assert points == {epoch: np.float32(value) for epoch, value in expected.items()}, tag
    assert "cross-entropy/val_ce" in by_column.values()


def test_an_epoch_has_the_time_at_which_it_ended(study):
    start = datetime.fromisoformat("2025-01-01T00:00:00+00:00").timestamp()
    seconds = np.cumsum([float(row["seconds"]) for row in history(study, 0)])
    times = [point.wall_time for point in read(study, 0).Scalars("loss/penalty")]
    np.testing.assert_allclose(np.array(times) - start, seconds, atol=1e-5)


def test_lambda_and_seed_are_hyperparameters(study):
    metadata = read(study, 2).SummaryMetadata("_hparams_/session_start_info")
    content = HParamsPluginData.FromString(metadata.plugin_data.content)
    values = content.session_start_info.hparams
    assert {name: value.number_value for name, value in values.items()} == {"l2": 0.001, "seed": 2}


def test_every_column_has_a_section():
    assert set(command.SECTIONS) == set(ALL_COLUMNS[3:])
    assert all(command.SECTIONS.values())


def test_files_take_the_place_of_former_ones_and_runs_that_are_not_there_are_left_out(
    study, tmp_path
):
    for _ in range(2):
        write(study, tmp_path, config='{"seeds": [2, 3]}')
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.parent == tmp_path / "seed~2"


@pytest.mark.parametrize(
    ("l2", "words"), [("much", "--l2: 'much'"), ("0.1", "has none of the runs")]
)
def test_bad_input_is_one_line(study, tmp_path, l2, words):
    with pytest.raises(SystemExit) as error:
        write(study, tmp_path, l2)
    assert words in str(error.value)
    assert all(line.strip() for line in str(error.value).splitlines())
    assert list(tmp_path.iterdir()) == []


def test_needs_no_tensorflow(study, tmp_path):
    """The environment of this stage has none, and importing it would take most of the time."""
    code = (
        "import sys; sys.modules['tensorflow'] = None; import events;"
        f"events.main(['--config', '{CONFIG}', '--l2', '0', '--results', {str(study)!r},"
        f" '--output', {str(tmp_path)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT / "scripts", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 3
