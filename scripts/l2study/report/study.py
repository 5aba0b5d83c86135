"""A study's results as the report reads them: config, tables, captions, and what ran where."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import pandas as pd
from docutils import nodes
from docutils.core import publish_doctree, publish_parts

from l2study.core.config import read_config
from l2study.core.design import Design, Setup
from l2study.core.files import read_json, read_table
from l2study.core.labels import l2_label
from l2study.core.paths import BASE, MODEL, place, run_folder
from l2study.core.runs import DamagedRunError, read_record, weights_checksum
from l2study.core.scope_rows import for_seeds, widest
from l2study.report.setup_names import COUNTS, words

_HOW = "run the study to its end first"
_ACROSS = ("setups", "interactions", "best")
"""The tables that are read with the rows of all set-ups, and say which one a row is of."""

_ONE_OF = {
    "means": ["measure", "l2"],
    "contrasts": ["measure", "l2"],
    "choice": ["metric", "rule"],
    "power": ["l2", "gap", "difference"],
}
"""The tables of which the report shows one interval of each, and what there is one for."""

_TYPES = {"number": "float64", "integer": "Int64", "string": "str"}

_RST = {"report_level": 5, "halt_level": 5, "file_insertion_enabled": False, "raw_enabled": False}


class ReportError(ValueError):
    """The report cannot be made. The message is one line that names the file and what to do."""


@dataclass(frozen=True)
class Caption:
    """What is said about a figure: its first paragraph describes it, the rest says how to read it.

    `description` and `reading` are plain text, `description_html` and `reading_html` HTML.
    """

    description: str
    reading: str
    description_html: str
    reading_html: str


@dataclass(frozen=True)
class Study:
    """A study as its report, or a comparison with others, reads it.

    `name` is that of its folder. `config` is canonical. `tables` maps the names of the tables to
    data frames. `data` is the manifest of its prepared data, empty if there is none. A report also
    needs `captions`, those of the figures by their names, `environments`, the distinct environments
    of the runs with how many runs each had, and `model`, what is known of how the model is built,
    empty if nothing is.

    A study may have several `setups`, the base first; `setup` is the name of the one whose results
    these are. `config` is the configuration of that set-up. `tables` have its rows alone, without
    the column `setup`; setups, interactions and best have the rows of all, and so have `all_claims`
    and `verdicts`, which the function `verdicts` makes of them.
    """

    name: str
    config: dict
    tables: Mapping[str, pd.DataFrame]
    data: dict
    captions: Mapping[str, Caption] = field(default_factory=dict)
    environments: list[tuple[dict, int]] = field(default_factory=list)
    model: Mapping = field(default_factory=dict)
    setup: str = BASE
    setups: list[Setup] = field(default_factory=list)

    @cached_property
    def design(self) -> Setup:
        """What the configuration of these results means."""
        return Setup(self.setup, {}, self.config, {})

    @property
    def title(self) -> str:
        """What page and summary are called."""
        which = "" if self.setup == BASE else f", {words(self.setup)}"
        return f"L2 regularisation study: {self.config['study']}{which}"

    @cached_property
    def shown(self) -> dict[str, pd.DataFrame]:
        """The tables of `_ONE_OF` as the report shows them, with one interval of each: that for
        other images too, where there is one.
        """
        there = {n: keys for n, keys in _ONE_OF.items() if "scope" in self.tables.get(n, ())}
        return {name: widest(self.tables[name], keys) for name, keys in there.items()}

    @property
    def best(self) -> pd.DataFrame:
        """What the metric that the study chooses by chooses, in every set-up."""
        best = self.tables["best"]
        return best[best["configured"] == "yes"]

    @cached_property
    def measured(self) -> set[str]:
        """The measures that there is something to say of: those that have means, but for the parts
        of the first kernel where no input is always zero.
        """
        means = self.tables["means"]
        parts = {"weight_norm_lit", "weight_norm_never_lit"}
        never_lit = means.loc[means["measure"] == "weight_norm_never_lit", "mean"]
        return set(means["measure"]) - (set() if never_lit.any() else parts)

    @cached_property
    def over_seeds(self) -> dict[str, pd.DataFrame]:
        """The tables that say what an interval is for, with the rows for other seeds alone."""
        return {name: for_seeds(rows) for name, rows in self.tables.items() if "scope" in rows}


def read_results(folder: Path, setup: str = BASE) -> Study:
    """Return the study whose results are in `folder`, such as results/mnist, those of a set-up.

    Raises:
        ReportError: there is no such folder, or its tables are missing, damaged, or not of one
            another.
    """
    folder = Path(folder)
    package = read_package(folder)
    tables = read_tables(folder, package)
    own = {
        name: table if name in _ACROSS else _of(table, setup, folder / "tables" / f"{name}.csv")
        for name, table in tables.items()
    }
    own["all_claims"] = tables.get("claims", pd.DataFrame())
    own["verdicts"] = verdicts(own["all_claims"])
    return Study(
        folder.resolve().name,
        package["config"],
        own,
        package["data"].get(setup, {}),
        environments=environments(folder, package, own["runs"].assign(setup=setup)),
        setup=setup,
    )


def load(folder: str | Path) -> dict[str, pd.DataFrame]:
    """Return the tables of the finished study in `folder`, such as results/mnist, by their names.

    They have the types that datapackage.json describes. In `attrs` of each is what the table is
    about, its `description`, and what its `columns` mean.

    Raises:
        ReportError: there is no such folder, or its tables are missing, damaged, or not of one
            another.
    """
    package = read_package(folder)
    found = read_tables(folder, package) | read_tables(folder, package, "parquet")
    about = {Path(part["path"]).stem: part for part in package["resources"]}
    for name, table in found.items():
        fields = about[name]["schema"]["fields"]
        found[name] = table.astype({field["name"]: _TYPES[field["type"]] for field in fields})
        columns = {field["name"]: field["description"] for field in fields}
        found[name].attrs = {"description": about[name]["description"], "columns": columns}
    return found


def verdicts(claims: pd.DataFrame) -> pd.DataFrame:
    """Return what is said of every claim in every set-up, with the estimate that it rests on."""
    if claims.empty:
        return claims
    columns = ["estimand", "measure", "l2", "against", "epoch", "estimate"]
    columns += ["low", "high", "above", "below", "n", "scope"]
    said = ["setup", "id", "claim", "figure_found", "conclusion"]
    whole = claims.loc[claims["estimand"] == "overall", said]
    deciding = claims.loc[claims["decisive"] == "yes", ["setup", "id", *columns]]
    return whole.merge(deciding, on=["setup", "id"], validate="1:1")


def read_package(folder: Path) -> dict:
    """Return what tables/datapackage.json says of the tables of the study in `folder`.

    Raises:
        ReportError: there is no such folder or file, or the file is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ReportError(f"{folder}: there is no such folder; give results/<study>")
    path = folder / "tables" / "datapackage.json"
    try:
        package = read_json(path)
        _ = package["config"], package["data"].get, package["weights_sha256"].get
        _ = {part["path"]: part["hash"] for part in package["resources"]}
    except FileNotFoundError:
        raise ReportError(f"{folder}: has no finished tables; {_HOW}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ReportError(f"{path}: is not as aggregate.py writes it; {_HOW}") from None
    return package


def read_tables(folder: Path, package: dict, kind: str = "csv") -> dict[str, pd.DataFrame]:
    """Return the tables of a study by their names, with the rows of all set-ups.

    `kind` is csv for all tables, or parquet for those that are there as such.

    Raises:
        ReportError: a table is missing, or is not the one that the package describes.
    """
    paths = {
        Path(folder, "tables", part["path"]): part["hash"]
        for part in package["resources"]
        if part["path"].endswith(f".{kind}")
    }
    return {path.stem: _table(path, checksum) for path, checksum in paths.items()}


def environments(folder: Path, package: dict, runs: pd.DataFrame) -> list[tuple[dict, int]]:
    """Return the distinct environments of runs, the most frequent first, with how many runs each
    had; none where there are tables without any run. `runs` are rows of the table of runs.

    Raises:
        ReportError: the record of a run is damaged, or the tables are not of the runs beside them.
    """
    counted = Counter()
    for setup, own in runs.groupby("setup", sort=False):
        records = _records(Path(f"{folder}{place(setup)}"), own)
        if records and weights_checksum(records) != package["weights_sha256"].get(setup):
            raise ReportError(f"{folder}: its tables are not of the runs beside them; {_HOW}")
        counted.update(json.dumps(one["environment"], sort_keys=True) for one in records)
    return [(json.loads(text), count) for text, count in counted.most_common()]


def _of(table: pd.DataFrame, setup: str, path: Path) -> pd.DataFrame:
    """Return the rows of a set-up, without the column that says so."""
    if "setup" not in table:
        raise ReportError(f"{path}: does not say of which set-up a row is; {_HOW}")
    return table[table["setup"] == setup].drop(columns="setup").reset_index(drop=True)


def _table(path: Path, checksum: str) -> pd.DataFrame:
    try:
        if checksum != f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}":
            raise ReportError(f"{path}: is not what datapackage.json describes; {_HOW}")
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return _setups(path) if path.name == "setups.csv" else read_table(path)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}; {_HOW}") from None


def _setups(path: Path) -> pd.DataFrame:
    """Return the table of set-ups; a level is its label, also where that looks like a number."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.astype(dict.fromkeys(COUNTS, int))


def read_study(config: str, results: Path, captions: Path, setup: str = BASE) -> Study:
    """Return the study of `config` with all that the report of one of its set-ups needs.

    `config` is the path of the configuration, or its JSON text, and `captions` a folder of one .rst
    file per figure. Beside it, folders of the same name with _across and _crossed at the end have
    those of the figures across set-ups, for the base of several, and of crossed designs.

    Raises:
        ConfigError: the configuration is not valid.
        ReportError: a table, a run's record or a caption is missing or cannot be read, or there is
            no such set-up.
    """
    found = Design.of(read_config(config), checked=True).setups
    named = {one.name: one for one in found}
    if setup not in named:
        raise ReportError(f"{setup}: there is no such set-up; there are {', '.join(named)}")
    study = read_results(results, setup)
    given = read_captions(captions)
    model = read_model(Path(results), named[setup].config)
    if len(found) > 1 and setup == BASE:
        given = read_captions(Path(f"{captions}_across")) | given
    if named[setup].crossed:
        given |= read_captions(Path(f"{captions}_crossed"))
    own = {"config": named[setup].config, "setups": list(found)}
    return replace(study, captions=given, model=model, **own)


def read_model(folder: Path, config: Mapping) -> dict:
    """Return the description of the model of a set-up's configuration, of a study in `folder`.

    Empty where there is none: results of version 1.0 have none.
    """
    for file in sorted(folder.glob(MODEL.format(checksum="*"))):
        with suppress(OSError, ValueError, KeyError):
            found = read_json(file)
            same = found["training"].items() <= config["training"].items()
            if same and found["model"] == config["model"]:
                return found
    return {}


def read_captions(folder: Path) -> dict[str, Caption]:
    """Return the caption of every figure, by its name, from the .rst files in `folder`.

    Raises:
        ReportError: there is none, or one has fewer than two paragraphs.
    """
    captions = {path.stem: _caption(path) for path in sorted(Path(folder).glob("*.rst"))}
    if not captions:
        raise ReportError(f"{folder}: no captions; the folder needs one .rst file per figure")
    return captions


def _caption(path: Path) -> Caption:
    first, *others = re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip())
    if not others:
        raise ReportError(
            f"{path}: needs a paragraph that describes the figure, and one on reading it"
        )
    parts = [first, "\n\n".join(others)]
    plain = [" ".join(_plain(part).split()) for part in parts]
    return Caption(*plain, *(_html(part) for part in parts))


@cache
def _html(text: str) -> str:
    return publish_parts(text, writer="html5", settings_overrides=_RST)["body"].strip()


@cache
def _plain(text: str) -> str:
    paragraphs = publish_doctree(text, settings_overrides=_RST).findall(nodes.paragraph)
    return " ".join(paragraph.astext() for paragraph in paragraphs)


def _records(folder: Path, runs: pd.DataFrame) -> list[dict]:
    """Return the records of the runs in a table; none where tables are there without any run."""
    if not (folder / "runs").is_dir():
        return []
    run_of = [(l2_label(l2), seed) for l2, seed in zip(runs["l2"], runs["seed"], strict=True)]
    try:
        return [read_record(run_folder(folder, *run), *run) for run in run_of]
    except DamagedRunError as fault:
        raise ReportError(str(fault)) from None
