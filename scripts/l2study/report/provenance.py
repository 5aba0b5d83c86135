"""What was run: the set-up of a study, its runs, their cost, and the versions of the programs.

Pure functions of the study, as in `text_tables`.
"""

from importlib.metadata import version

from l2study.core.epochs import evaluated_epochs
from l2study.core.labels import l2_label
from l2study.core.variation import WORDS, differing, is_crossed, number_of_seeds, run_seeds
from l2study.core.wording import (
    MISSING,
    minus,
    percent,
    rounded,
    seed_list,
)
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows

PACKAGES = ("numpy", "pandas", "scipy", "matplotlib", "seaborn")
"""The packages, beyond those of training, whose versions tables and figures depend on."""


def setup(study: Study) -> Rows:
    """Return the set-up of the study, a row for everything that was set."""
    config, data = study.config, study.data
    model, training, split = config["model"], config["training"], config["validation"]
    counts = data.get("counts", {})
    rows = ", ".join(f"{count:,} {part}" for part, count in counts.items())
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
            f"{size:,} images, stratified" if size else "all rows that validation leaves",
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
        ("A seed changes", ", ".join(WORDS[source] for source in differing(config))),
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
