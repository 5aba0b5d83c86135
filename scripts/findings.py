"""Write docs/findings.md and its pictures from the reference results.

Every number on that page is read from a table in reference/. What its sentences say is checked
against these tables: a sentence that no longer holds ends the program, with the line to change.

Example:
    python scripts/findings.py
"""

import sys
from pathlib import Path

from l2study.core.files import replacing, write_text
from l2study.core.program import parser
from l2study.data.prepared import reason
from l2study.report.findings_page import FindingsError, findings
from l2study.report.study import ReportError

PROJECT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for what is wrong."""
    command = parser(__doc__)
    command.add_argument(
        "--output", type=Path, default=PROJECT / "docs", help="folder to write to (docs)"
    )
    folder = command.parse_args(arguments).output
    try:
        page, pictures = findings(PROJECT)
        (folder / "findings").mkdir(parents=True, exist_ok=True)
        for name, content in pictures.items():
            with replacing(folder / "findings" / name) as unfinished:
                unfinished.write_bytes(content)
        write_text(folder / "findings.md", page)
    except (FindingsError, ReportError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: cannot be read or written: {reason(error)}")


if __name__ == "__main__":
    main()
