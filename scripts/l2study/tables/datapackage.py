"""The tables of a study for other programs: as Parquet, and described in a Data Package.

What is known of every column is in `schemas/tables.yaml`, of a measure in `schemas/measures.yaml`.
"""

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from l2study.core.columns import EMPTY_AT_START
from l2study.core.files import read_yaml, replacing
from l2study.core.measures import MEASURES, OPTIONAL, RUN_MEASURES, names
from l2study.core.paths import PREDICTIONS, place
from l2study.core.predictions import PARTS

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "tables.yaml"

_ARROW = {"number": pa.float64(), "integer": pa.int64(), "string": pa.string()}
_CONSTRAINTS = ("minimum", "maximum", "enum", "pattern")
_KEYS = ("primaryKey", "foreignKeys")
_NOT_STUDIED = ("allow_missing", "tensorboard")
_MEDIA = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


class DescriptionError(ValueError):
    """A table and its description in schemas/tables.yaml differ. The message is one line."""


def absent_columns(tables: Mapping[str, pd.DataFrame]) -> set[str]:
    """Return the measures of `OPTIONAL` that no run of `tables` has: they get no column."""
    found = tables["histories"].reindex(columns=OPTIONAL).notna().any()
    found |= tables["runs"].reindex(columns=OPTIONAL).notna().any()
    return set(found.index[~found])


def read_descriptions(factors: Sequence[str] = (), absent: Collection[str] = ()) -> dict[str, dict]:
    """Return what `schemas/tables.yaml` says of every table, by its name.

    A table has `description`, `parquet` (whether it is written as Parquet too) and `schema`, a
    Frictionless Table Schema whose fields are in the order of the columns. A field may have a
    `unit`, beyond the standard. `factors` are the names of the study's factors, and `absent` the
    measures without a column, see `absent_columns`.
    """
    content = read_yaml(SCHEMA)
    shared = content["columns"] | {
        name: {"description": measure.description, **measure.column}
        for name, measure in MEASURES.items()
    }
    stands_for = {
        ("histories", "measures"): names("history"),
        ("runs", "measures"): RUN_MEASURES,
        ("runs", "derived"): names("derived"),
        ("setups", "factors"): factors,
    }
    always = set(names("history")) - {*EMPTY_AT_START, *OPTIONAL}
    content["tables"]["histories"]["required"] += always
    described = {}
    for name, table in content["tables"].items():
        fields = [
            _field(column, own or shared[column], column in table["required"])
            for key, own in table["columns"].items()
            for column in stands_for.get((name, key), [key])
            if column not in absent
        ]
        keys = {key: table[key] for key in _KEYS if key in table}
        described[name] = {
            "description": table["description"].strip(),
            "parquet": table.get("parquet", False),
            "schema": {"fields": fields, "missingValues": [""], **keys},
        }
    return described


def _field(name: str, column: dict, required: bool) -> dict:
    constraints = {key: column[key] for key in _CONSTRAINTS if key in column}
    constraints |= {"required": True} if required else {}
    return {
        "name": name,
        "type": column.get("type", "number"),
        "description": column["description"].strip().replace("{factor}", name),
        **({"unit": column["unit"]} if "unit" in column else {}),
        **({"constraints": constraints} if constraints else {}),
    }


def as_described(
    tables: Mapping[str, pd.DataFrame], factors: Sequence[str] = (), absent: Collection[str] = ()
) -> dict[str, pd.DataFrame]:
    """Return `tables` with the columns and the types of schemas/tables.yaml, in its order.

    A column that a table lacks is empty in all its rows. A DescriptionError says which table or
    column is not described, or must not be empty.
    """
    descriptions, described = read_descriptions(factors, absent), {}
    _same("the tables", set(tables), set(descriptions))
    for name, description in descriptions.items():
        fields = {field["name"]: field for field in description["schema"]["fields"]}
        table = tables[name].drop(columns=absent, errors="ignore")
        needed = [one for one in fields if "required" in fields[one].get("constraints", {})]
        may_lack = set(fields).difference(needed if len(table) else ())
        _same(f"the columns of {name}", set(table) | may_lack, set(fields))
        whole = [one for one in fields if fields[one]["type"] == "integer"]
        described[name] = table.reindex(columns=list(fields)).astype(dict.fromkeys(whole, "Int64"))
    return described


def _same(what: str, found: set[str], described: set[str]) -> None:
    if odd := sorted(found ^ described):
        raise DescriptionError(
            f"{SCHEMA}: {what} differ in {', '.join(odd)}; describe them as they are"
        )


def write_parquet(table: pd.DataFrame, fields: list[dict], path: str | os.PathLike) -> None:
    """Write `table` as Parquet, whole or not at all; equal tables give equal bytes.

    Every column carries its description and unit. `fields` are those of `read_descriptions`.
    """
    schema = pa.schema(
        pa.field(
            field["name"],
            _ARROW[field["type"]],
            nullable="required" not in field.get("constraints", {}),
            metadata={key: field[key] for key in ("description", "unit") if key in field},
        )
        for field in fields
    )
    arrays = [pa.array(table[field.name], field.type, from_pandas=True) for field in schema]
    with replacing(path) as unfinished:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), unfinished)


def data_package(
    config: dict,
    data: dict,
    weights: Mapping[str, str],
    folder: Path,
    factors: Sequence[str] = (),
    absent: Collection[str] = (),
) -> dict:
    """Return the Data Package (version 1 of the standard) of the tables in `folder`.

    Beyond the standard it has `config`, the study's canonical configuration, `data`, the content of
    every set-up's data.json, `weights_sha256`, which tells whether the tables are of the runs
    beside them, and `predictions`: the standard allows no file outside `folder` as a resource.
    `weights` has the `weights_checksum` of the runs of every set-up, and `factors` and `absent` are
    those of `read_descriptions`.
    """
    resources = []
    for name, table in read_descriptions(factors, absent).items():
        for kind in ("csv", "parquet") if table["parquet"] else ("csv",):
            path, csv = folder / f"{name}.{kind}", kind == "csv"
            resources.append(
                {
                    "name": name if csv else f"{name}-{kind}",
                    "path": f"{name}.{kind}",
                    "profile": "tabular-data-resource" if csv else "data-resource",
                    **({} if csv else {"type": "file"}),
                    "description": table["description"],
                    "format": kind,
                    "mediatype": _MEDIA[kind],
                    **({"encoding": "utf-8"} if csv else {}),
                    "bytes": path.stat().st_size,
                    "hash": file_hash(path),
                    "schema": table["schema"],
                }
            )
    return {
        "profile": "data-package",
        "name": config["study"].lower(),
        "title": f"Tables of the L2 regularisation study {config['study']}",
        "description": "Accuracies and their differences are fractions: 0.98 is 98 %. Intervals"
        f" have a confidence of {config['confidence']:g}, unless a column says otherwise.",
        "config": {key: value for key, value in config.items() if key not in _NOT_STUDIED},
        "data": data,
        "weights_sha256": dict(weights),
        "predictions": predictions(data),
        "resources": resources,
    }


def file_hash(path: Path) -> str:
    """Return the checksum of a file as a Data Package writes it."""
    with open(path, "rb") as file:  # histories of many runs are large
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def predictions(data: Mapping[str, Mapping]) -> dict:
    """Return where the predictions of set-ups are, and what the arrays are; where classes have
    names, these too, in the order of their numbers. `data` is that of `data_package`."""
    names = {setup: own["class_names"] for setup, own in data.items() if "class_names" in own}
    return {
        "description": "What every completed run predicts for each validation and test image, with"
        " its final weights. The images are in the order of the prepared data. There is one file"
        " for each lambda of a set-up. Paths begin at the folder of the study, and {l2} is a lambda"
        " as in config. The files are NumPy archives, and an array is named"
        " seed~<seed>/<part>/<name>; after an earlier epoch, seed~<seed>/<part>@<epoch>/<name>,"
        " with best for the epoch of the run with the lowest validation cross-entropy.",
        "path": {setup: f"{place(setup)}/{PREDICTIONS}".lstrip("/") for setup in data},
        "format": "npz",
        "parts": list(PARTS),
        **({"class_names": names} if names else {}),
        "arrays": {
            "label": {
                "type": "unsigned integer",
                "description": "The right class, also where training labels are noisy.",
            },
            "predicted": {
                "type": "unsigned integer",
                "description": "The most probable class.",
            },
            "probability": {
                "type": "float32",
                "description": "The probability of the right class.",
            },
        },
    }
