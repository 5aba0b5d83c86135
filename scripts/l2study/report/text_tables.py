"""The tables that page and summary show, and the sentences about the runs.

They are pure functions from a study to typed cells, see `cells`. Every number comes from a table of
the study.
"""

from importlib.metadata import version

import pandas as pd

from l2study.core.epochs import evaluated_epochs
from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import SEEDS_AND_IMAGES, for_seeds, widest
from l2study.core.variation import WORDS, is_crossed, number_of_seeds, run_seeds, varied
from l2study.core.wording import (
    MISSING,
    Form,
    fixed,
    interval,
    minus,
    p_value,
    percent,
    rounded,
    seed_list,
)
from l2study.report.cells import Number, Rows
from l2study.report.inputs import Study

RULES = {
    "best": "lowest mean validation cross-entropy",
    "one_standard_error": "largest lambda within one standard error over seeds of it",
    "reference": "the reference",
}
"""The rules of choice as a reader sees them."""

POINTS, SQUARED = fixed(2, 100), rounded(3, 1e4)
"""How accuracies and gaps are written, and variances of them."""

PACKAGES = ("numpy", "pandas", "scipy", "matplotlib", "seaborn")
"""The packages, beyond those of training, whose versions tables and figures depend on."""


# --- what was studied -----------------------------------------------------------------------------


def setup(study: Study) -> Rows:
    """Return the set-up of the study, a row for everything that was set."""
    config, data = study.config, study.data
    model, training, split = config["model"], config["training"], config["validation"]
    counts = data.get("counts", {})
    rows = ", ".join(f"{count:,} {part}".replace(",", " ") for part, count in counts.items())
    source = data.get("source") or config["dataset"].get("name") or config["dataset"]["path"]
    if rows:
        rows += f" images{_values(data)}"
    size = config["dataset"].get("train_size")
    noise = config["dataset"].get("label_noise")
    replaced = f"{percent(noise)} of the training labels replaced by another class" if noise else ""
    share = percent(split["fraction"])
    tail = f"the last {share} of the training file"
    held_out = tail if split["split"] == "tail" else f"{share} of the training file, stratified"
    layers = " → ".join(f"Dense({units}, {model['activation']})" for units in model["hidden_units"])
    kernels = "hidden kernels" + (" and output kernel" if model["regularize_output"] else "")
    penalty = "keras.regularizers.L2(lambda), lambda · Σ w²"
    decay = "decoupled weight decay, learning rate · 2 · lambda · w in each step, not in the loss"
    regularizer = decay if model.get("regularizer") == "decoupled" else penalty
    momentum = f", momentum {training['momentum']:g}" if "momentum" in training else ""
    entries = [
        ("Data", f"{source}" + (f": {rows}" if rows else "")),
        (
            "Training subset",
            f"{size} images, stratified" if size else "all rows that validation leaves",
        ),
        *([("Label noise", replaced)] if noise else []),
        ("Validation", held_out),
        ("Model", " → ".join(filter(None, ["Flatten", layers, "Dense(classes, softmax)"]))),
        ("Regulariser", f"{regularizer}, on the {kernels}"),
        (
            "Training",
            f"{training['optimizer']}, learning rate {training['learning_rate']:g}{momentum}, "
            f"batch size {training['batch_size']}, {training['epochs']} epochs",
        ),
        ("Evaluated after epochs", ", ".join(map(str, evaluated_epochs(training)))),
        ("Lambdas", ", ".join(config["lambdas"])),
        ("Seeds", _seeds(config)),
        ("A seed changes", ", ".join(WORDS[source] for source in varied(config))),
        ("Reference lambda", config["reference_lambda"]),
        ("Intervals", f"{percent(config['confidence'])}"),
    ]
    return [{"What": what, "Value": value} for what, value in entries]


def _seeds(config: dict) -> str:
    if not is_crossed(config):
        seeds = run_seeds(config)
        return f"{len(seeds)}: {', '.join(map(str, seeds))}"
    levels = (f"{source} {', '.join(map(str, own))}" for source, own in config["seeds"].items())
    return f"every combination of {'; '.join(levels)}"


def _values(data: dict) -> str:
    """Return the range of the pixels and how they were scaled, where it is known."""
    if "values" not in data:
        return ""
    low, high = data["values"]
    scaled = "" if data["scale"] == 1 else ", divided by 255"
    return f"; values {minus(f'{low:g}')} to {minus(f'{high:g}')}{scaled}"


def versions(study: Study) -> Rows:
    """Return what the runs were trained with, a row per distinct environment."""
    names = {"cpu": "CPU", "tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}
    keys = sorted({key for environment, _ in study.environments for key in environment})
    return [
        {"Runs": str(count)}
        | {names.get(key, key.capitalize()): _plain(environment.get(key, MISSING)) for key in keys}
        for environment, count in study.environments
    ]


def _plain(value: object) -> str:
    """Return an entry of an environment as text: a list joined, device names without their path."""
    entries = value if isinstance(value, list) else [value]
    return ", ".join(str(entry).removeprefix("/physical_device:") for entry in entries)


def report_versions() -> str:
    """Return the versions of the packages that made tables and figures, in one line."""
    return ", ".join(f"{package} {version(package)}" for package in PACKAGES)


# --- what came out --------------------------------------------------------------------------------


def diverged(study: Study) -> list[str]:
    """Return a line per lambda that names its diverged runs and how far they got."""
    runs, lines = study.tables["runs"], []
    lost = runs[runs["status"] == "diverged"]
    for l2, group in lost.groupby("l2"):
        epochs = ", ".join(
            f"{seed} after epoch {e}"
            for seed, e in zip(group["seed"], group["epochs"], strict=True)
        )
        total = int((runs["l2"] == l2).sum())
        lines.append(
            f"lambda {l2_label(l2)}: {len(group)} of {total} runs diverged (seed {epochs})"
        )
    return lines


def cost_table(study: Study) -> Rows:
    """Return what a run cost, median and largest over all runs: time by phase and memory."""
    runs = study.tables["runs"]
    costs = {
        "seconds_setup": "Set-up (s)",
        "seconds_train": "Training (s)",
        "seconds_evaluate": "Evaluation (s)",
        "seconds_measures": "Measures at the end (s)",
        "seconds_total": "Wall time (s)",
        "cpu_seconds": "CPU time (s)",
        "peak_memory_mb": "Peak memory (MB)",
    }
    return [
        {
            "What": label,
            "Median run": Number(runs[column].median(), rounded()),
            "Largest": Number(runs[column].max(), rounded()),
        }
        for column, label in costs.items()
    ]


def runs_sentence(study: Study) -> str:
    """Return a sentence on how many runs completed, naming every missing and diverged one."""
    runs = study.tables["runs"]
    total, complete = len(runs), int((runs["status"] == "completed").sum())
    lambdas = runs["l2"].nunique()
    text = f"{total} runs ({_plural(lambdas, 'lambda')}, {_plural(total // lambdas, 'seed')} each)"
    if absent := missing(study):
        promised = len(study.config["lambdas"]) * number_of_seeds(study.config)
        text = f"Only {total} of the {promised} runs of this study are there (missing: {absent})"
    if complete == total:
        return f"{text}, all completed."
    lost = runs[runs["status"] == "diverged"]
    names = "; ".join(
        f"lambda {l2_label(l2)} {seed_list(group['seed'])}" for l2, group in lost.groupby("l2")
    )
    return (
        f"{text}: {complete} completed, {total - complete} diverged and left out of every mean "
        f"({names})."
    )


def missing(study: Study) -> str:
    """Return the promised runs that are not in the tables, as "lambda 0 seed 1; ..."."""
    runs, lines = study.tables["runs"], []
    for l2 in study.config["lambdas"]:
        seeds = set(run_seeds(study.config)) - set(runs.loc[runs["l2"] == float(l2), "seed"])
        if seeds:
            lines.append(f"lambda {l2} {seed_list(seeds)}")
    return "; ".join(lines)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _means(study: Study, measure: str, form: Form) -> dict[float, Number]:
    """Return the mean of a measure with its interval, for every lambda."""
    means = widest(study.tables["means"], ["measure", "l2"])
    rows = means[means["measure"] == measure].itertuples()
    return {row.l2: Number(row.mean, form, row.low, row.high) for row in rows}


def _variances(study: Study, kind: str) -> dict[float, Number]:
    """Return the variance of a gap at the last epoch with its interval, for every lambda."""
    gap = for_seeds(study.tables["gap"])
    rows = gap[(gap["gap"] == kind) & (gap["epoch"] == study.config["training"]["epochs"])]
    return {
        row.l2: Number(row.variance, SQUARED, row.variance_low, row.variance_high)
        for row in rows.itertuples()
    }


def lambda_table(study: Study) -> Rows:
    """Return a row per lambda: accuracies, gap with interval, its variance, norm, runs.

    Accuracies are percentages, means over completed runs with the final weights. Gaps are points.
    """
    columns = {
        "Training %": ("train_accuracy", POINTS, False),
        "Validation %": ("val_accuracy", POINTS, False),
        "Test %": ("test_accuracy", POINTS, False),
        "Reported gap": ("gap_reported", POINTS, True),
        "Its variance": None,
        "Generalisation gap": ("gap_generalisation", POINTS, True),
        "Norm, weights under L2": ("weight_norm", rounded(), False),
    }
    rows, variances = [], _variances(study, "reported")
    found = {head: _means(study, *entry[:2]) for head, entry in columns.items() if entry}
    for l2, group in study.tables["runs"].groupby("l2"):
        complete = int((group["status"] == "completed").sum())
        lost = len(group) - complete
        said = f"{complete}, {lost} diverged" if lost else f"{complete}"
        row = {"λ": _lambda(l2), "Runs": Number(complete, lambda _, said=said: said)}
        for head, entry in columns.items():
            number = found[head][l2] if entry else variances[l2]
            with_interval = entry is None or entry[2]
            row[head] = number if with_interval else Number(number.value, number.form)
        rows.append(row)
    return rows


def _table_of_means(study: Study, columns: dict[str, tuple[str, Form]]) -> Rows:
    """Return a row per lambda, and for every head the mean of (measure, form) with its interval."""
    found = {head: _means(study, *entry) for head, entry in columns.items()}
    lambdas = next(iter(found.values()))
    return [{"λ": _lambda(l2)} | {head: found[head][l2] for head in columns} for l2 in lambdas]


def gap_table(study: Study) -> Rows:
    """Return a row per lambda with every kind of gap at the last epoch and its interval."""
    columns = {
        "Reported": ("gap_reported", POINTS),
        "= lag": ("gap_lag", POINTS),
        "+ generalisation": ("gap_generalisation", POINTS),
        "+ split": ("gap_split", POINTS),
        "Exchangeable": ("gap_exchangeable", POINTS),
        "Cross-entropy gap (nats)": ("gap_ce", fixed(4)),
    }
    there = set(study.tables["means"]["measure"])
    columns = {head: entry for head, entry in columns.items() if entry[0] in there}
    return _table_of_means(study, columns)


def weight_table(study: Study) -> Rows:
    """Return a row per lambda with the norms of the kernels at the last epoch and intervals.

    The head of the output kernel's norm says whether it carries the regulariser in this study.
    """
    regularised = "" if study.config["model"]["regularize_output"] else "not "
    columns = {
        "Regularised weights": ("weight_norm", rounded()),
        f"Output kernel ({regularised}regularised)": ("output_kernel_norm", rounded()),
        "Product over all kernels": ("norm_product", rounded()),
    }
    return _table_of_means(study, columns)


def variance_table(study: Study) -> Rows:
    """Return a row per lambda with the variances of two gaps, in points squared."""
    reported, general = (_variances(study, kind) for kind in ("reported", "generalisation"))
    complete = study.tables["runs"].groupby("l2")["status"].agg(lambda s: (s == "completed").sum())
    return [
        {
            "λ": _lambda(l2),
            "Runs": Number(complete[l2], fixed(0)),
            "Reported gap": reported[l2],
            "Generalisation gap": general[l2],
        }
        for l2 in reported
    ]


def variance_sentences(study: Study) -> list[str]:
    """Return where a variance over seeds is below that of drawing the images of a run again.

    A sentence per gap of `variance_table`, and why that is; nothing if it is nowhere so.
    """
    gap = for_seeds(study.tables["gap"])
    gap = gap[gap["epoch"] == study.config["training"]["epochs"]]
    texts = []
    for kind in ("reported", "generalisation"):
        below = gap[(gap["gap"] == kind) & (gap["variance"] < gap["variance_images"])]
        places = [
            f"at lambda {l2_label(row.l2)} ({SQUARED(row.variance)} against"
            f" {SQUARED(row.variance_images)} points²)"
            for row in below.itertuples()
        ]
        if places:
            texts.append(
                f"The variance of the {kind} gap over seeds is below that which a single run would"
                f" have if its images were drawn again: {', '.join(places)}."
            )
    if texts:
        texts.append(
            "That is possible because all seeds are evaluated on the same images. So the variance"
            " over seeds does not say how much a gap would vary with other images."
        )
    return texts


def scopes_sentence(study: Study) -> str:
    """Return what the intervals of the tables are for."""
    if (study.tables["means"]["scope"] == SEEDS_AND_IMAGES).any():
        return (
            "Intervals of accuracies, cross-entropies and gaps are for other seeds and other"
            " validation and test images. Those of norms, of the lag, of variances and of"
            " sensitivity are for other seeds on these images."
        )
    return "All intervals are for other seeds on these images."


def _lambda(l2: float) -> Number:
    return Number(l2, _label)


def _label(l2: float) -> str:
    return MISSING if pd.isna(l2) else l2_label(l2)


def choice_table(study: Study) -> Rows:
    """Return a row per rule of choice: the lambda, validation cross-entropy, test accuracy.

    Interval and samples are for other images too, where predictions are kept.
    """
    return [
        {
            "Rule": RULES[row.rule],
            "λ": _lambda(row.l2),
            "Validation cross-entropy (nats)": Number(row.val_ce_mean, fixed(4)),
            "Standard error": Number(row.val_ce_se, fixed(4)),
            "Test accuracy %": Number(row.test_accuracy_mean, POINTS, row.low, row.high),
            "Runs": Number(row.n, fixed(0)),
            "Picked in % of resamples": Number(row.share, fixed(0, 100)),
            "Picked lambdas": interval(row.l2_low, row.l2_high, _label),
        }
        for row in widest(study.tables["choice"], ["rule"]).itertuples()
    ]


def contrast_table(study: Study, measure: str) -> Rows:
    """Return the paired differences of `measure`, their intervals and tests.

    A row per lambda, and a second one for other images too if the measure is a mean over images.
    """
    contrasts, form = study.tables["contrasts"], rounded(3, MEASURES[measure].scale)
    return [
        {
            "λ": _lambda(row.l2),
            "For other": row.scope,
            "Pairs": Number(row.n, fixed(0)),
            "Difference": Number(row.mean_difference, form, row.low, row.high),
            "p (t)": Number(row.p_t, p_value),
            "p (Holm)": Number(row.p_holm, p_value),
            "p (sign flip)": Number(row.p_sign_flip, p_value),
            "p (equivalent)": Number(row.p_equivalent, p_value),
            "p (variances, Holm)": Number(row.p_variance_holm, p_value),
            "Correlation": Number(row.correlation, fixed(2)),
            "d_z": Number(row.d_z, rounded(2)),
        }
        for row in contrasts[contrasts["measure"] == measure].itertuples()
    ]


def power_table(study: Study) -> Rows:
    """Return a row per lambda and gap: the seeds needed to resolve each difference."""
    power, points = study.tables["power"], fixed(1, 100)
    return [
        {
            "λ": _lambda(l2),
            "Gap": gap,
            "SD of the difference (points)": Number(
                group["sd_difference"].iloc[0], rounded(2, 100)
            ),
        }
        | {
            f"{points(row.difference)} points": Number(
                row.seeds, fixed(0), row.seeds_low, row.seeds_high
            )
            for row in group.itertuples()
        }
        for (l2, gap), group in power.groupby(["l2", "gap"], sort=False)
    ]
