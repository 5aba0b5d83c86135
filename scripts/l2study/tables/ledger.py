"""Read the claims ledger, reports/claims.yaml, and check it against its schema."""

from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from l2study.core.measures import RUN_MEASURES
from l2study.tables.derived import DERIVED_MEASURES, EPOCH_MEASURES

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "claims.schema.yaml"


class LedgerError(ValueError):
    """The claims ledger is not as it should be. The message is one line."""


def read_ledger(path: str | Path) -> dict:
    """Return the ledger in the YAML file at `path`.

    Raises:
        LedgerError: the file cannot be read or is not a ledger.
    """
    try:
        ledger = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    schema["$defs"] |= {
        "measure": {"enum": [*RUN_MEASURES, *DERIVED_MEASURES]},
        "measure_of_an_epoch": {"enum": EPOCH_MEASURES},
    }
    if error := best_match(Draft202012Validator(schema).iter_errors(ledger)):
        place = ".".join(str(step) for step in error.absolute_path) or "the ledger"
        raise LedgerError(f"{path}: {place}: {error.message[:300]}")
    return ledger
