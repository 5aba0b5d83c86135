"""Made-up studies, for tests only: run folders in the real layout whose truth is known.

No number written here is a result. `Effects` says what regularisation does in the made-up world, so
a test can build a study in which a claim holds, fails or cannot be told, and see what comes out.
"""

import csv
import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from l2study.core.columns import HISTORY_COLUMNS
from l2study.core.design import Design, Setup
from l2study.core.epochs import evaluated_epochs, predicted_epochs
from l2study.core.labels import l2_label
from l2study.core.measures import names
from l2study.core.paths import measures_file, predictions_file, run_folder
from l2study.core.predictions import BEST, PARTS, Predicted, part_at, write_predictions
from l2study.core.runs import MEASURED_OF, Run, read_runs
from l2study.tables import build
from l2study.tables.derived import with_derived
from l2study.tables.image_intervals import Images, images_of
from l2study.tables.ledger import read_ledger
from l2study.tables.study_tables import tables_of

IMAGES = {"val": 2000, "test": 2000}
"""How many images there are predictions of."""

CLASSES = 10
SAME_IMAGES = 0.9
"""The correlation of how hard an image is for two seeds. So of the images that are wrong for one,
about two thirds are wrong for the other, as in runs on MNIST."""

KERNELS = ((784, 128),)
NEVER_LIT = 67 / 784
NOISE_SDS = ("0.1", "0.2", "0.3")
ATTACKS = {"fgsm_0.02": 1.2, "fgsm_0.05": 4.0, "pgd_0.02": 1.6, "pgd_0.05": 4.8}
"""What every attack costs in accuracy, relative to `Effects.noise_loss`."""


@dataclass(frozen=True)
class Effects:
    """Final values as (without L2, at lambda 0.01); other lambdas lie between, on a log scale.

    `spread` multiplies all noise between runs; 0 makes every seed of a lambda alike.
    """

    test_accuracy: tuple[float, float] = (0.978, 0.955)
    generalisation: tuple[float, float] = (0.018, 0.001)
    lag: tuple[float, float] = (0.0005, -0.0035)
    split: tuple[float, float] = (-0.002, -0.0105)
    gap_ce: tuple[float, float] = (0.06, 0.002)
    val_ce_min: tuple[float, float] = (0.08, 0.16)
    creep: tuple[float, float] = (0.03, 0.001)
    weight_norm: tuple[float, float] = (17.0, 3.0)
    never_lit_norm: tuple[float, float] = (4.3, 0.01)
    jacobian_norm: tuple[float, float] = (9.0, 2.0)
    softmax_jacobian_norm: tuple[float, float] = (0.3, 0.1)
    boundary_distance: tuple[float, float] = (0.5, 1.2)
    output_kernel_norm: tuple[float, float] = (5.0, 8.0)
    noise_loss: tuple[float, float] = (0.08, 0.02)
    first_epoch_ce: tuple[float, float] = (0.45, 0.65)
    ece: tuple[float, float] = (0.01, 0.04)
    penalty_factor: float = 1.0
    spread: float = 1.0


HELPFUL = Effects(test_accuracy=(0.960, 0.980), lag=(0.0, 0.0), split=(0.0, 0.0))
"""A world where L2 does all that the exercise says, measured without bias."""

NOTHING = Effects(
    **{
        field.name: (field.default[0],) * 2
        for field in fields(Effects)
        if isinstance(field.default, tuple)
    }
)
"""A world where L2 changes nothing (its penalty is still added to the loss)."""

HARMFUL = Effects(
    test_accuracy=(0.978, 0.940),
    generalisation=(0.002, 0.020),
    creep=(0.001, 0.050),
    weight_norm=(5.0, 17.0),
    never_lit_norm=(1.0, 4.0),
    softmax_jacobian_norm=(0.1, 0.3),
    boundary_distance=(1.2, 0.5),
    noise_loss=(0.02, 0.08),
    lag=(0.0005, 0.0005),
    split=(0.002, 0.004),
)
"""A world where every direction is the other way round."""


def strength(l2: float) -> float:
    """Return 0 without L2, 1 at lambda 0.01, and between on a log scale (0 at 1e-6)."""
    return 0.0 if l2 == 0 else float(np.clip((math.log10(l2) + 6) / 4, 0, 1))


def glorot_square_norm(kernels: Iterable[tuple[int, int]]) -> float:
    """Return the expected squared Frobenius norm of Glorot-uniform kernels."""
    return sum(2 * m * n / (m + n) for m, n in kernels)


def study_config(
    lambdas: Iterable[object],
    seeds: Iterable[int] | dict[str, list[int]],
    epochs: int,
    *,
    study: str = "made-up",
    reference_lambda: object = 0,
    confidence: float = 0.95,
    evaluate_at: list[int] | dict | None = None,
    predict_at: Iterable[int] = (),
    split: str = "tail",
) -> dict:
    """Return a canonical config with every key, as `read_config` would."""
    return {
        "study": study,
        "dataset": {"name": "mnist"},
        "validation": {"split": split, "fraction": 0.1},
        "model": {"hidden_units": [128], "activation": "relu", "regularize_output": False},
        "training": {
            "optimizer": "adam",
            "learning_rate": 0.001,
            "batch_size": 200,
            "epochs": epochs,
            "evaluate_at": "all" if evaluate_at is None else evaluate_at,
            "predict_at": sorted(predict_at),
        },
        "lambdas": sorted((l2_label(v) for v in lambdas), key=float),
        "seeds": dict(seeds) if isinstance(seeds, dict) else sorted(seeds),
        "reference_lambda": l2_label(reference_lambda),
        "confidence": confidence,
    }


def made_study(
    *,
    lambdas: Iterable[object] = (0, 1e-4, 1e-3, 1e-2),
    seeds: Iterable[int] | dict[str, list[int]] = range(6),
    epochs: int = 8,
    diverged: Mapping[tuple[object, int], int] | None = None,
    effects: Effects = Effects(),
    random_state: int = 0,
    kernels: tuple[tuple[int, int], ...] = KERNELS,
    **options,
) -> tuple[dict, list[Run]]:
    """Return the config of a made-up study and its runs, as `read_study` would read them.

    Args:
        lambdas: any spellings of lambdas.
        seeds: the seeds, or the levels of every source; noise shared by all lambdas of a seed makes
            them paired.
        epochs: epochs of a completed run, at least 1.
        diverged: {(l2, seed): epoch} of runs that diverged in that epoch; those before are kept.
        effects: what L2 does.
        random_state: seed of the noise.
        kernels: shapes of the regularised kernels.
        options: of `study_config`.
    """
    config = study_config(lambdas, seeds, epochs, **options)
    lost = {(l2_label(l2), seed): epoch for (l2, seed), epoch in (diverged or {}).items()}
    runs = [
        made_run(config, l2, seed, lost.get((l2, seed)), effects, random_state, kernels)
        for l2 in config["lambdas"]
        for seed in Setup.of(config).seeds
    ]
    return config, runs


def write_study(folder: str | Path, **options) -> dict:
    """Write the runs of `made_study`, with its options, to `folder` and return its config."""
    config, runs = made_study(**options)
    for run in runs:
        place = run_folder(folder, run.l2, run.seed)
        place.mkdir(parents=True, exist_ok=True)
        with open(place / "history.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HISTORY_COLUMNS)
            for row in run.history.tolist():
                cells = [int(row[1]), int(row[2]), *row[3:]]
                writer.writerow([run.l2, *("" if cell != cell else cell for cell in cells)])
        (place / "run.json").write_text(json.dumps(run.record, indent=2) + "\n")
        sign_history(place)
    for l2 in config["lambdas"]:
        own = {run.seed: run for run in runs if run.l2 == l2 and run.measured}
        path, beside = measures_file(folder, l2), predictions_file(folder, l2)
        write_predictions(beside, {seed: run.predictions for seed, run in own.items()})
        content = {
            "l2": l2,
            "measured_with": {"data_sha256": "0" * 64},
            "predictions_sha256": hashlib.sha256(beside.read_bytes()).hexdigest(),
            "runs": {str(seed): run.measured for seed, run in own.items()},
        }
        path.write_text(json.dumps(content))
    return config


def made_runs(**options) -> tuple[Setup, pd.DataFrame, pd.DataFrame, Images]:
    """Return the set-up of a made-up study, the tables of histories and of runs, and its images.

    The table of runs has the derived measures. `options` are those of `made_study`.
    """
    config, found = made_study(**options)
    setup = Design.of(config, checked=True).base
    histories = build.histories_table(found)
    predicted = {(float(run.l2), run.seed): run.predictions for run in found if run.predictions}
    runs = with_derived(histories, build.runs_table(found), build.regularised_kernels(found))
    return setup, histories, runs, images_of(setup, predicted)


def runs_table(lambdas: Iterable[float], **measures: np.ndarray) -> pd.DataFrame:
    """Return a table of runs with these measures, each of shape (lambdas, seeds).

    A run for which a value is NaN has diverged.
    """
    seeds = range(np.shape(next(iter(measures.values())))[1])
    index = pd.MultiIndex.from_product([lambdas, seeds], names=["l2", "seed"])
    table = pd.DataFrame({name: np.ravel(values) for name, values in measures.items()}, index)
    lost = table.isna().any(axis=1)
    return table.assign(status=np.where(lost, "diverged", "completed")).reset_index()


def ledger_of(*ids: str) -> dict:
    """Return the exercise's ledger with the claims of these ids; with all if none is given."""
    ledger = exercise_ledger()
    return ledger | {"claims": [c for c in ledger["claims"] if not ids or c["id"] in ids]}


@cache
def exercise_ledger() -> dict:
    return read_ledger(Path(__file__).parents[1] / "reports" / "claims" / "exercise.yaml")


def made_tables(*claims: str, **options) -> tuple[Setup, dict]:
    """Return the set-up of a made-up study and its tables, without a file.

    Args:
        claims: ids of those that are judged, which takes long; all claims of the exercise if none
            is given.
        options: of `made_study`.
    """
    config, runs = made_study(**options)
    setup = Design.of(config, checked=True).base
    return setup, tables_of(setup, ledger_of(*claims), runs)


def predictions(
    part: str, last: dict, random_state: int, seed: int, l2: str, spread: float
) -> Predicted:
    """Return what a made-up run predicts for a part, with the accuracy and mean cross-entropy of
    the last row of its history.

    How hard an image is depends on the image, on the seed, and a little on lambda; the hardest are
    wrong. The probability of the right class falls with it.

    `spread` multiplies what differs between runs.
    """
    accuracy, ce = last[f"{part}_accuracy"], last[f"{part}_ce"]
    images, base = IMAGES[part], [random_state, PARTS.index(part)]
    of_images = np.random.default_rng(base)
    label = of_images.integers(0, CLASSES, images)
    other = (label + of_images.integers(1, CLASSES, images)) % CLASSES
    hard = math.sqrt(SAME_IMAGES) * of_images.normal(size=images)
    for share, key in ((0.6, [*base, 1, seed]), (0.4, [*base, 2, seed, zlib.crc32(l2.encode())])):
        noise = np.random.default_rng(key).normal(size=images)
        hard += spread * math.sqrt(share * (1 - SAME_IMAGES)) * noise
    wrong = np.zeros(images, bool)
    wrong[np.argsort(hard)[images - round(images * (1 - accuracy)) :]] = True
    of_each = np.exp(1.5 * hard)
    probability = np.exp(-ce * of_each / of_each.mean())
    predicted = np.where(wrong, other, label)
    return Predicted(
        label.astype(np.uint8), predicted.astype(np.uint8), probability.astype(np.float32)
    )


def read_study(folder: str | Path, config: dict, **options) -> list[Run]:
    """Return the runs of a made-up study as `aggregate` reads them."""
    setup = Design.of(config, checked=True).base
    return read_runs(Path(folder), setup, None, names("weights"), **options)


def made_run(
    config: dict,
    l2: str,
    seed: int,
    diverged_epoch: int | None,
    effects: Effects,
    random_state: int,
    kernels: tuple[tuple[int, int], ...] = KERNELS,
) -> Run:
    """Return a made-up run, as it would be read from its files."""
    epochs = config["training"]["epochs"]
    whole, measures = _run(l2, seed, epochs, effects, random_state, kernels)
    end = epochs + 1 if diverged_epoch is None else diverged_epoch
    history = whole[[epoch for epoch in evaluated_epochs(config["training"]) if epoch < end]]
    record = {
        "l2": l2,
        "seed": seed,
        "sources": Setup.of(config).sources(seed),
        "status": "completed" if diverged_epoch is None else "diverged",
        "diverged_epoch": diverged_epoch,
        "config": {"model": config["model"], "training": config["training"]},
        "data_sha256": "0" * 64,
        "regularised_kernels": [list(shape) for shape in kernels],
        "weights_sha256": "1" * 64,
        "predictions_sha256": "2" * 64,
        "cost": {
            "seconds_startup": 1.0,
            "seconds_train": 0.5 * epochs,
            "seconds_evaluate": 0.2 * epochs,
            "seconds_total": 1.5 + 0.7 * epochs,
            "cpu_seconds": 2.0 + 0.7 * epochs,
            "peak_memory_mb": 600.0,
        },
        "environment": {
            "hostname": "made-up",
            "cpu": "made-up",
            "threads": 1,
            "platform": "Linux",
            "python": "3.12.0",
            "tensorflow": "2.0",
            "keras": "3.0",
            "numpy": "2.0",
        },
        "started": "2025-01-01T00:00:00+00:00",
        "finished": "2025-01-01T00:00:10+00:00",
    }
    if diverged_epoch is not None:
        return Run(l2, seed, history, record, {}, {})
    measured = {
        **{key: record[key] for key in MEASURED_OF},
        "measures": measures,
        "weight_histogram": {"edges": [-0.5, -0.1, 0.1, 0.5], "counts": [10, 80, 10]},
        "seconds": 0.5,
    }
    last = dict(zip(HISTORY_COLUMNS, whole[-1], strict=True))
    best = min(history, key=lambda row: row[HISTORY_COLUMNS.index("val_ce")])
    rows = {None: last, BEST: dict(zip(HISTORY_COLUMNS, best, strict=True))}
    for epoch in predicted_epochs(config["training"]):
        rows[epoch] = dict(zip(HISTORY_COLUMNS, whole[epoch], strict=True))
    predicted = {
        part_at(part, epoch): predictions(part, row, random_state, seed, l2, effects.spread)
        for epoch, row in rows.items()
        for part in PARTS
    }
    return Run(l2, seed, history, record, measured, predicted)


def sign_history(folder: Path) -> None:
    """Give the record of a run in `folder` the checksum of its history, once a test changed it."""
    record = json.loads((folder / "run.json").read_text())
    record["history_sha256"] = hashlib.sha256((folder / "history.csv").read_bytes()).hexdigest()
    (folder / "run.json").write_text(json.dumps(record))


def _share(accuracy, part):
    """Return the nearest accuracy that the images of a part can give."""
    return min(round(accuracy * IMAGES[part]), IMAGES[part]) / IMAGES[part]


def _run(label, seed, epochs, effects, random_state, kernels):
    """Return the whole history of a run as an array, and what was measured of its last weights."""
    l2 = float(label)
    own = np.random.default_rng([random_state, seed, zlib.crc32(label.encode())])
    shared = np.random.default_rng([random_state, seed])
    s = strength(l2)

    def final(name, sd=None):
        none, strong = getattr(effects, name)
        value = none + (strong - none) * s
        sd = 0.02 * abs(value) if sd is None else sd
        return value + effects.spread * sd * (0.8 * shared.normal() + 0.6 * own.normal())

    accuracy = _share(final("test_accuracy", 0.001), "test")
    generalisation = final("generalisation", 0.0006)
    lag = final("lag", 0.0003)
    split = final("split", 0.0005)
    gap_ce = final("gap_ce")
    floor = final("val_ce_min")
    creep = abs(final("creep"))
    norm = final("weight_norm")
    never = min(final("never_lit_norm"), 0.9 * norm)
    jacobian = final("jacobian_norm")
    noise_loss = final("noise_loss")
    first_ce = final("first_epoch_ce")
    ece = final("ece")
    start_norm = math.sqrt(glorot_square_norm(kernels)) * (
        1 + effects.spread * 0.001 * shared.normal()
    )
    softmax_jacobian = final("softmax_jacobian_norm")
    output_norm = final("output_kernel_norm")
    distance = final("boundary_distance")
    bottom = max(1, epochs // 2)

    rows = []
    for epoch in range(epochs + 1):
        shape = -math.expm1(-4 * epoch / epochs) / -math.expm1(-4)
        test = 0.1 + (accuracy - 0.1) * shape
        train = test + generalisation * shape
        val = test - split * shape
        if epoch == epochs:
            test, val = accuracy, _share(val, "val")
        val_ce = floor + (math.log(10) - floor) * max(0.0, 1 - epoch / bottom) ** 2
        if epoch > bottom:
            val_ce += creep * (epoch - bottom) / (epochs - bottom)
        train_ce = val_ce - gap_ce * shape
        weight_norm = start_norm + (norm - start_norm) * shape
        penalty = effects.penalty_factor * l2 * weight_norm**2
        if epoch:
            before = start_norm + (norm - start_norm) * shape / 2
            running = [
                (first_ce if epoch == 1 else train_ce + 0.01) + l2 * before**2,
                train + lag * shape,
            ]
        else:
            running = [math.nan, math.nan]
        rows.append(
            [
                l2,
                seed,
                epoch,
                *running,
                train_ce,
                train,
                val_ce,
                val,
                val_ce + 0.01 * shape,
                test,
                penalty,
                train_ce + penalty,
                val_ce + penalty,
                weight_norm,
                0.05 + 0.02 * weight_norm,
                0.3 * weight_norm,
                0.7,
            ]
        )
    measures = {
        "jacobian_norm": jacobian,
        "softmax_jacobian_norm": softmax_jacobian,
        "loss_gradient_norm": 0.05 * jacobian,
        "boundary_distance": distance,
        **{
            f"test_accuracy_noise_{sd}": accuracy - noise_loss * float(sd) / 0.3 for sd in NOISE_SDS
        },
        **{
            f"test_accuracy_{attack}": min(max(accuracy - noise_loss * cost, 0.0), 1.0)
            for attack, cost in ATTACKS.items()
        },
        "weight_norm_lit": math.sqrt(norm**2 - never**2),
        "weight_norm_never_lit": never,
        "output_kernel_norm": output_norm,
        "norm_product": norm * output_norm,
        "inactive_share": 0.1 * s,
        "ece": ece,
        "brier": 0.04 + 0.04 * s,
    }
    return np.array(rows), measures
