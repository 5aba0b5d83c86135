"""What there is to say of a study's data before it runs, where that takes little time."""

import json
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from l2study.core.design import Design, Setup
from l2study.core.files import read_json
from l2study.core.paths import DATA_CHECK
from l2study.data import sources
from l2study.report.data_text import sentences
from l2study.report.inputs import reworded

SECONDS = 20
"""How long it may take to prepare and to check data that are not prepared yet."""


def findings(design: Design, results: str, anew: Collection[str] = ()) -> list[str]:
    """Return a line for each finding about the data of a study, as the report will say it.

    Of data that are not prepared, or will be prepared again (`anew` has their `Setup.data`), it is
    known if they need not be downloaded, and if all of them are checked within `SECONDS`.
    """
    found, end = [], time.monotonic() + SECONDS
    for place, setup in design.data.items():
        folder = Path(f"{results}{place}")
        if setup.data in anew or not (folder / DATA_CHECK).exists():
            found += _checked_now(setup, end - time.monotonic())
        else:
            found += _said(folder)
    return list(dict.fromkeys(found))


def _said(folder: Path) -> list[str]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        manifest = read_json(folder / "data.json")
        return [reworded(line, manifest) for line in sentences(read_json(folder / DATA_CHECK))]
    return []


def _checked_now(setup: Setup, seconds: float) -> list[str]:
    """Return what is said of the data of a set-up, prepared elsewhere; nothing if it takes long."""
    if seconds <= 0 or sources.is_downloaded(setup.config["dataset"]):
        return []
    scripts, end = Path(__file__).resolve().parents[2], time.monotonic() + seconds
    with TemporaryDirectory() as folder, suppress(OSError, subprocess.SubprocessError):
        data, config = Path(folder, "data.json"), setup.config | {"seeds": setup.seeds}
        for program, *options in (
            ["prepare.py", "--config", json.dumps(config), "--output", data],
            ["check_data.py", "--data", data, "--output", data.with_name(DATA_CHECK)],
        ):
            command = [sys.executable, scripts / program, *options]
            left = end - time.monotonic()
            subprocess.run(command, check=True, capture_output=True, timeout=left)
        return _said(Path(folder))
    return []
