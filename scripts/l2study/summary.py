"""What the report says in words and tables: pure functions from a study to text.

The page and the summary show the same tables; here they are data frames of text, ready to print.
Every number comes from a table of the study.
"""

from collections.abc import Iterable
from importlib.metadata import version

import pandas as pd

from l2study.answer import answer
from l2study.labels import l2_label
from l2study.statistics import mean_interval
from l2study.study import Study
from l2study.wording import MEASURES, MISSING, interval, number, percent, seed_list, significant

QUESTION = (
    "How does the strength of L2 regularisation, lambda, change the loss, the weights and the gap "
    "between training and validation accuracy of a Keras model?"
)

RULES = {
    "best": "lowest mean validation cross-entropy",
    "one_standard_error": "largest lambda within one standard error over seeds of it",
    "reference": "the reference",
}

LEADING_FIGURE = "decomposition"
"""The figure that the summary shows right after the answer."""

PACKAGES = ("numpy", "pandas", "scipy", "matplotlib", "seaborn")
"""The packages, beyond those of training, whose versions tables and figures depend on."""


# --- what was studied -----------------------------------------------------------------------------


def setup(study: Study) -> list[tuple[str, str]]:
    """Return the set-up of the study as (what, value) pairs."""
    config, data = study.config, study.data
    model, training, split = config["model"], config["training"], config["validation"]
    counts = data.get("counts", {})
    rows = ", ".join(f"{count:,} {part}".replace(",", " ") for part, count in counts.items())
    source = data.get("source") or config["dataset"].get("name") or config["dataset"]["path"]
    size = config["dataset"].get("train_size")
    share = percent(split["fraction"])
    tail = f"the last {share} of the training file"
    held_out = tail if split["split"] == "tail" else f"{share} of the training file, stratified"
    layers = " → ".join(f"Dense({units}, {model['activation']})" for units in model["hidden_units"])
    kernels = "hidden kernels" + (" and output kernel" if model["regularize_output"] else "")
    momentum = f", momentum {training['momentum']:g}" if "momentum" in training else ""
    return [
        ("Data", f"{source}" + (f": {rows} images" if rows else "")),
        (
            "Training subset",
            f"{size} images, stratified" if size else "all rows that validation leaves",
        ),
        ("Validation", held_out),
        ("Model", " → ".join(filter(None, ["Flatten", layers, "Dense(classes, softmax)"]))),
        ("Regulariser", f"keras.regularizers.L2(lambda), lambda · Σ w², on the {kernels}"),
        (
            "Training",
            f"{training['optimizer']}, learning rate {training['learning_rate']:g}{momentum}, "
            f"batch size {training['batch_size']}, {training['epochs']} epochs",
        ),
        ("Lambdas", ", ".join(config["lambdas"])),
        ("Seeds", f"{len(config['seeds'])}: {', '.join(map(str, config['seeds']))}"),
        ("Reference lambda", config["reference_lambda"]),
        ("Intervals", f"{percent(config['confidence'])}"),
    ]


def versions(study: Study) -> pd.DataFrame:
    """Return what the runs were trained with, a row per distinct environment."""
    rows = [
        {
            "Runs": str(count),
            **{key: _plain(environment[key]) for key in sorted(environment)},
        }
        for environment, count in study.environments
    ]
    names = {"cpu": "CPU", "tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}
    table = pd.DataFrame(rows).fillna(MISSING)
    return table.rename(columns=lambda name: names.get(name, name.capitalize()))


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


def cost_table(study: Study) -> pd.DataFrame:
    """Return what a run cost, median and largest over all runs: time by phase and memory."""
    runs, costs = (
        study.tables["runs"],
        {
            "seconds_setup": "Set-up (s)",
            "seconds_train": "Training (s)",
            "seconds_evaluate": "Evaluation of every epoch (s)",
            "seconds_measures": "Measures at the end (s)",
            "seconds_total": "Wall time (s)",
            "cpu_seconds": "CPU time (s)",
            "peak_memory_mb": "Peak memory (MB)",
        },
    )
    return pd.DataFrame(
        {
            "What": label,
            "Median run": significant(runs[column].median()),
            "Largest": significant(runs[column].max()),
        }
        for column, label in costs.items()
    )


def runs_sentence(study: Study) -> str:
    """Return a sentence on how many runs completed, naming every missing and diverged one."""
    runs = study.tables["runs"]
    total, complete = len(runs), int((runs["status"] == "completed").sum())
    lambdas = runs["l2"].nunique()
    text = f"{total} runs ({_plural(lambdas, 'lambda')}, {_plural(total // lambdas, 'seed')} each)"
    if absent := missing(study):
        promised = len(study.config["lambdas"]) * len(study.config["seeds"])
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
        seeds = set(study.config["seeds"]) - set(runs.loc[runs["l2"] == float(l2), "seed"])
        if seeds:
            lines.append(f"lambda {l2} {seed_list(seeds)}")
    return "; ".join(lines)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _at_end(study: Study, kind: str) -> pd.DataFrame:
    gap = study.tables["gap"]
    last = study.config["training"]["epochs"]
    return gap[(gap["gap"] == kind) & (gap["epoch"] == last)].set_index("l2")


def _estimate(row: pd.Series, scale: float = 1.0, digits: int = 2) -> str:
    """Return mean and interval of a row of gap.csv."""
    return _with_interval(
        number(row["mean"], digits, scale),
        interval(row["mean_low"], row["mean_high"], digits, scale),
    )


def _with_interval(value: str, span: str) -> str:
    return value if span == MISSING else f"{value} ({span})"


def _variance(row: pd.Series) -> str:
    low, high = (significant(row[name], 3, 1e4) for name in ("variance_low", "variance_high"))
    span = MISSING if MISSING in (low, high) else f"{low} to {high}"
    return _with_interval(significant(row["variance"], 3, 1e4), span)


def lambda_table(study: Study) -> pd.DataFrame:
    """Return a row per lambda: accuracies, gap with interval, its variance, norm, runs.

    Accuracies are percentages, means over completed runs with the final weights; gaps are points.
    """
    runs, rows = study.tables["runs"], []
    reported, general = _at_end(study, "reported"), _at_end(study, "generalisation")
    for l2, group in runs.groupby("l2"):
        complete = group[group["status"] == "completed"]
        lost = len(group) - len(complete)
        mean = complete.mean(numeric_only=True)
        rows.append(
            {
                "λ": l2_label(l2),
                "Runs": f"{len(complete)}" + (f", {lost} diverged" if lost else ""),
                "Training %": number(mean["train_accuracy"], 2, 100),
                "Validation %": number(mean["val_accuracy"], 2, 100),
                "Test %": number(mean["test_accuracy"], 2, 100),
                "Reported gap": _estimate(reported.loc[l2], 100),
                "Its variance": _variance(reported.loc[l2]),
                "Generalisation gap": _estimate(general.loc[l2], 100),
                "Norm, weights under L2": significant(mean["weight_norm"], 3),
            }
        )
    return pd.DataFrame(rows)


def gap_table(study: Study) -> pd.DataFrame:
    """Return a row per lambda with every kind of gap at the last epoch and its interval."""
    kinds = {
        "Reported": ("reported", 100, 2),
        "= lag": ("lag", 100, 2),
        "+ generalisation": ("generalisation", 100, 2),
        "+ split": ("split", 100, 2),
        "Cross-entropy gap (nats)": ("ce", 1, 4),
    }
    at_end = {label: _at_end(study, kind) for label, (kind, _, _) in kinds.items()}
    return pd.DataFrame(
        {
            "λ": l2_label(l2),
            **{
                label: _estimate(at_end[label].loc[l2], scale, digits)
                for label, (_, scale, digits) in kinds.items()
            },
        }
        for l2 in at_end["Reported"].index
    )


def weight_table(study: Study) -> pd.DataFrame:
    """Return a row per lambda with the norms of the kernels at the last epoch and intervals.

    The head of the output kernel's says whether it carries the regulariser in this study.
    """
    regularised = "" if study.config["model"]["regularize_output"] else "not "
    columns = {
        "Regularised weights": "weight_norm",
        f"Output kernel ({regularised}regularised)": "output_kernel_norm",
        "Product over all kernels": "norm_product",
    }
    rows = []
    for l2, group in study.tables["runs"].groupby("l2"):
        row = {"λ": l2_label(l2)}
        for head, measure in columns.items():
            mean = mean_interval(group[measure], study.config["confidence"])
            value, low, high = (significant(number, 3) for number in mean[:3])
            row[head] = _with_interval(value, MISSING if low == MISSING else f"{low} to {high}")
        rows.append(row)
    return pd.DataFrame(rows)


def variance_table(study: Study) -> pd.DataFrame:
    """Return a row per lambda with the variances of two gaps, in points squared."""
    kinds = {"Reported gap": "reported", "Generalisation gap": "generalisation"}
    at_end = {label: _at_end(study, kind) for label, kind in kinds.items()}
    return pd.DataFrame(
        {
            "λ": l2_label(l2),
            "Runs": str(at_end["Reported gap"].loc[l2, "n"]),
            **{label: _variance(table.loc[l2]) for label, table in at_end.items()},
        }
        for l2 in at_end["Reported gap"].index
    )


def verdict_table(study: Study) -> pd.DataFrame:
    """Return a row per claim of the exercise: its words, figure, verdict and what decided it."""
    claims = study.tables["claims"]
    overall = claims[claims["estimand"] == "overall"]
    return pd.DataFrame(
        {
            "Claim": row.claim,
            "The exercise's figure": row.given if pd.notna(row.given) else "",
            "Verdict": row.verdict,
            "Because": row.decided_by if pd.notna(row.decided_by) else "",
        }
        for row in overall.itertuples()
    )


def claims_text(study: Study) -> str:
    """Return at which epoch the claims are judged."""
    last = study.config["training"]["epochs"]
    return (
        f"Estimates are of the last epoch, epoch {last}, unless they name another. Behind the"
        " verdicts, accuracies and gaps are fractions, as in the tables: 0.01 is a point."
    )


def claim_table(study: Study, claim: str) -> pd.DataFrame:
    """Return the rows of one claim: what is estimated, with interval, verdict and evidence."""
    claims = study.tables["claims"]
    rows = claims[(claims["id"] == claim) & (claims["estimand"] != "overall")]
    table = pd.DataFrame(
        {
            "Estimand": row.estimand,
            "Given": row.given if pd.notna(row.given) else "",
            "Estimate": significant(row.estimate),
            "Interval": _significant_interval(row.low, row.high),
            "Verdict": row.verdict,
            "Decides": row.decides,
            "Evidence": row.evidence,
        }
        for row in rows.itertuples()
    )
    return table if rows["given"].notna().any() else table.drop(columns="Given")


def _significant_interval(low: float, high: float, scale: float = 1.0) -> str:
    ends = [significant(end, 3, scale) for end in (low, high)]
    return MISSING if MISSING in ends else " to ".join(ends)


def choice_table(study: Study) -> pd.DataFrame:
    """Return a row per rule of choice: the lambda, validation cross-entropy, test accuracy."""
    return pd.DataFrame(
        {
            "Rule": RULES.get(row.rule, row.rule),
            "λ": l2_label(row.l2) if pd.notna(row.l2) else MISSING,
            "Validation cross-entropy (nats)": number(row.val_ce_mean, 4),
            "Standard error": number(row.val_ce_se, 4),
            "Test accuracy %": number(row.test_accuracy_mean, 2, 100),
            "Its interval": interval(row.low, row.high, 2, 100),
            "Runs": number(row.n, 0),
        }
        for row in study.tables["choice"].itertuples()
    )


def measure_label(measure: str) -> str:
    """Return what a measure is called, with its unit."""
    shown = MEASURES[measure]
    return f"{shown.label} ({shown.unit})" if shown.unit else shown.label


def contrast_table(study: Study, measure: str) -> pd.DataFrame:
    """Return a row per lambda: the paired difference of `measure`, its interval and tests."""
    contrasts, scale = study.tables["contrasts"], MEASURES[measure].scale
    return pd.DataFrame(
        {
            "λ": l2_label(row.l2),
            "Pairs": str(row.n),
            "Difference": significant(row.mean_difference, 3, scale),
            "Interval": _significant_interval(row.low, row.high, scale),
            "p (t)": _p_value(row.p_t),
            "p (Holm)": _p_value(row.p_holm),
            "p (sign flip)": _p_value(row.p_sign_flip),
            "p (variances, Holm)": _p_value(row.p_variance_holm),
            "Correlation": number(row.correlation, 2),
            "d_z": significant(row.d_z, 2),
        }
        for row in contrasts[contrasts["measure"] == measure].itertuples()
    )


def _p_value(p: float) -> str:
    return "<0.0001" if p < 1e-4 else significant(p, 2)


def power_table(study: Study) -> pd.DataFrame:
    """Return a row per lambda and gap: the seeds needed to resolve each difference."""
    power = study.tables["power"]
    rows = []
    for (l2, gap), group in power.groupby(["l2", "gap"], sort=False):
        rows.append(
            {
                "λ": l2_label(l2),
                "Gap": gap,
                "SD of the difference (points)": significant(
                    group["sd_difference"].iloc[0], 2, 100
                ),
                **{
                    f"{number(row.difference, 1, 100)} points": number(row.seeds, 0)
                    for row in group.itertuples()
                },
            }
        )
    return pd.DataFrame(rows)


# --- the summary ----------------------------------------------------------------------------------


def markdown_table(table: pd.DataFrame) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    if table.empty:
        return "(none)"

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"

    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    return "\n".join([line(table.columns), line(rule), *map(line, table.itertuples(index=False))])


def summary(study: Study) -> str:
    """Return the Markdown summary of a study, which can be read on its own."""
    config = study.config
    level = percent(config["confidence"])
    figures = {
        name: f"![{caption.description}](figures/{name}.png)\n\n"
        f"*{caption.description}* {caption.reading}"
        for name, caption in study.captions.items()
    }
    leading = [figures.pop(LEADING_FIGURE)] if LEADING_FIGURE in figures else []
    lost = diverged(study)
    parts = [
        f"# L2 regularisation study: {config['study']}",
        QUESTION,
        "## Answer",
        *answer(study.tables, config),
        runs_sentence(study),
        *leading,
        "## Per lambda",
        "Means over the completed runs after the last epoch. Accuracies and gaps with the final "
        "weights, except the reported gap, which is the running training accuracy that Keras "
        "prints less the validation accuracy. The norm is that of the weights that carry the "
        "regulariser. Gaps are in points, their variances over seeds in "
        f"points², with {level} intervals.",
        markdown_table(lambda_table(study)),
        "The reported gap is the sum of lag (averaging over a changing model), generalisation "
        "(training less test accuracy) and split (test less validation accuracy):",
        markdown_table(gap_table(study)),
        "## Claims",
        claims_text(study),
        markdown_table(verdict_table(study)),
        "Estimates, rules of decision and evidence are in [claims.csv](../tables/claims.csv) and "
        "on the [page](report.html).",
        "## Choice of lambda",
        "Chosen on the validation cross-entropy; the test set decides nothing.",
        markdown_table(choice_table(study)),
        "## Set-up",
        "\n".join(f"- {what}: {value}" for what, value in setup(study)),
        "## Runs",
        "\n".join(f"- {line}" for line in lost) if lost else "No run diverged.",
        "Trained with:",
        markdown_table(versions(study)),
        f"Tables and figures made with {report_versions()}.",
        "## Figures",
        *figures.values(),
    ]
    return "\n\n".join(parts) + "\n"
