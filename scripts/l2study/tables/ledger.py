"""Read a ledger of claims, such as reports/claims/exercise.yaml, and check it."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from l2study.core.files import read_yaml
from l2study.core.measures import RUN_MEASURES
from l2study.tables.derived import DERIVED_MEASURES, EPOCH_MEASURES

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "claims.schema.yaml"


FIGURE, CONCLUSION, BESIDE = "figure", "conclusion", "no"
"""What a row decides: whether the figure of a claim is found, what is concluded, or nothing."""


class LedgerError(ValueError):
    """The claims ledger is not as it should be. The message is one line."""


RENAMED = {
    "recognised_by": "exercise_check",
    "holds": "expect",
    "because": "rationale",
    "as_reported": "reproduces_figure",
    "elsewhere": "alternative_cause",
}
"""The keys of version 1.0 that are called otherwise now."""

GONE = {"artefact_if": "figure and conclusion are judged separately"}
"""The keys of version 1.0 that are no longer there, and why."""


def read_ledger(path: str | Path) -> dict:
    """Return the ledger in the YAML file at `path`.

    Raises:
        LedgerError: the file cannot be read or is not a ledger.
    """
    try:
        ledger = read_yaml(path)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if former := next((key for key in _keys(ledger) if key in RENAMED), None):
        raise LedgerError(f"{path}: {former}: was renamed in version 2.0; write {RENAMED[former]}")
    if former := next((key for key in _keys(ledger) if key in GONE), None):
        raise LedgerError(f"{path}: {former}: was removed in version 2.0, where {GONE[former]}")
    schema = read_yaml(SCHEMA)
    schema["$defs"] |= {
        "measure": {"enum": [*RUN_MEASURES, *DERIVED_MEASURES]},
        "measure_of_an_epoch": {"enum": EPOCH_MEASURES},
    }
    if error := best_match(Draft202012Validator(schema).iter_errors(ledger)):
        place = ".".join(str(step) for step in error.absolute_path) or "the ledger"
        raise LedgerError(f"{path}: {place}: {error.message[:300]}")
    for claim in ledger["claims"]:
        if not any(decided_by(row) == CONCLUSION for row in claim["rows"]):
            raise LedgerError(f"{path}: {claim['id']}: no row decides its conclusion")
    named = recognising_rows(ledger)
    for name in ledger.get("exercise_check", {}).get("rows", []):
        if not any(row["name"] == name for row in named):
            claim = ledger["exercise_check"]["claim"]
            raise LedgerError(f"{path}: exercise_check: the claim {claim} has no row named {name}")
    return ledger


def _keys(value: object) -> Iterator[str]:
    """Yield the keys of all mappings within `value`."""
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict):
        yield from value
    for child in children if isinstance(value, (dict, list)) else ():
        yield from _keys(child)


def decided_by(row: dict) -> str:
    """Return what a row of the ledger decides, at a lambda that decides."""
    if row.get("reproduces_figure", False):
        return FIGURE
    beside = row.get("alternative_cause", False) or not row.get("decides", True)
    return BESIDE if beside else CONCLUSION


def recognising_rows(ledger: dict) -> list[dict]:
    """Return the rows by whose figures a set-up is recognised; none if the ledger names none."""
    wanted = ledger.get("exercise_check", {"claim": None, "rows": []})
    return [
        row
        for claim in ledger["claims"]
        if claim["id"] == wanted["claim"]
        for row in claim["rows"]
        if row.get("name") in wanted["rows"]
    ]
