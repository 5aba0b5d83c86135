"""Write docs/findings.md and its pictures from the reference results.

Every number on that page is read from a table in reference/. What its sentences say is checked
against these tables: a sentence that no longer holds ends the program, with the line to change.

Example:
    python scripts/findings.py
"""

from pathlib import Path

from l2study.core.files import replacing, write_text
from l2study.core.program import faults_in_one_line, parser
from l2study.report.findings_page import findings

PROJECT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for what is wrong."""
    command = parser(__doc__)
    command.add_argument(
        "--output", type=Path, default=PROJECT / "docs", help="folder to write to (docs)"
    )
    folder = command.parse_args(arguments).output
    with faults_in_one_line("findings.py", folder):
        page, pictures = findings(PROJECT)
        (folder / "findings").mkdir(parents=True, exist_ok=True)
        for name, content in pictures.items():
            with replacing(folder / "findings" / name) as unfinished:
                unfinished.write_bytes(content)
        write_text(folder / "findings.md", page)


if __name__ == "__main__":
    main()
