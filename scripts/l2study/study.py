"""A study's results as the report reads them: config, tables, captions, and what ran where."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from docutils import nodes
from docutils.core import publish_doctree, publish_parts

from l2study.config import read_config
from l2study.files import read_json
from l2study.labels import l2_label
from l2study.tables import read_table

TABLES = ("histories", "runs", "gap", "contrasts", "claims", "choice", "power")
"""The tables that the report reads, without their suffix."""

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
    """Everything a report is made from.

    `config` is canonical; `tables` maps the names in TABLES to data frames; `captions` maps the
    names of the figures, in the order of their names, to captions; `environments` are the distinct
    `environment` entries of the runs with how many runs each had; `data` is the manifest of the
    prepared data, empty if there is none.
    """

    config: dict
    tables: Mapping[str, pd.DataFrame]
    captions: Mapping[str, Caption]
    environments: list[tuple[dict, int]]
    data: dict


def read_study(config: str, results: Path, captions: Path) -> Study:
    """Return the study of `config` whose results are in the folder `results`.

    Args:
        config: path of the configuration, or its JSON text.
        results: the study's results folder, with tables/ and runs/.
        captions: folder of one .rst file per figure.

    Raises:
        ConfigError: the configuration is not valid.
        ReportError: a table, a run's record or a caption is missing or cannot be read.
    """
    settings, results = read_config(config), Path(results)
    tables = {name: _table(results / "tables" / f"{name}.csv") for name in TABLES}
    manifest = results / "data.json"
    return Study(
        config=settings,
        tables=tables,
        captions=read_captions(captions),
        environments=_environments(results, tables["runs"]),
        data=_json(manifest) if manifest.exists() else {},
    )


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
    text = path.read_text(encoding="utf-8").strip()
    parts = re.split(r"\n\s*\n", text, maxsplit=1)
    if len(parts) < 2:
        raise ReportError(
            f"{path}: needs a paragraph that describes the figure, and one on reading it"
        )
    plain = [" ".join(_plain(part).split()) for part in parts]
    html = [publish_parts(p, writer="html5", settings_overrides=_RST)["body"] for p in parts]
    return Caption(*plain, *(part.strip() for part in html))


def _plain(text: str) -> str:
    paragraphs = publish_doctree(text, settings_overrides=_RST).findall(nodes.paragraph)
    return " ".join(paragraph.astext() for paragraph in paragraphs)


def _table(path: Path) -> pd.DataFrame:
    try:
        return read_table(path)
    except FileNotFoundError:
        raise ReportError(f"{path}: missing; run aggregate.py on the study first") from None
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


def _json(path: Path) -> dict:
    try:
        return read_json(path)
    except FileNotFoundError:
        raise ReportError(f"{path}: missing; train the study's runs first") from None
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


def _environments(results: Path, runs: pd.DataFrame) -> list[tuple[dict, int]]:
    """Return the distinct environments of the study's runs, the most frequent first."""
    records = [
        _json(results / "runs" / f"l2~{l2_label(l2)}" / f"seed~{seed}" / "run.json")
        for l2, seed in zip(runs["l2"], runs["seed"], strict=True)
    ]
    counted = Counter(json.dumps(record["environment"], sort_keys=True) for record in records)
    return [(json.loads(text), count) for text, count in counted.most_common()]
