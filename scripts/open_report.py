"""Show the report of a study in a browser.

Nothing is asked, and nothing waits. Where there is no display, as in a terminal on another machine,
the path of the page is printed.

Example:
    python scripts/open_report.py mine.yaml
"""

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from l2study.core.config import ConfigError, read_config
from l2study.core.program import parser

CONFIG = Path(__file__).resolve().parents[1] / "config.yaml"


def has_display(environment: Mapping[str, str], platform: str) -> bool:
    """Return whether a browser with a window can be started, and on the machine of the user."""
    if environment.get("SSH_CONNECTION"):
        return False
    windows = platform in ("darwin", "win32")
    return windows or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def main(arguments: list[str] | None = None) -> None:
    """Open the page, or say where it is; exit with one line if there is none."""
    options = parser(__doc__)
    options.add_argument(
        "file", type=Path, nargs="?", default=CONFIG, help="its configuration (config.yaml)"
    )
    try:
        study = read_config(options.parse_args(arguments).file)["study"]
    except ConfigError as error:
        sys.exit(f"config: {error}")
    page = Path("results", study, "report", "report.html")
    if not page.exists():
        sys.exit(f"{page} does not exist yet: run make study")
    if not has_display(os.environ, sys.platform) or not webbrowser.open(page.resolve().as_uri()):
        print(f"No browser can be opened here. Open this file: {page.resolve()}")


if __name__ == "__main__":
    main()
