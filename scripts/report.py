"""Write the report of a study: notebook, page, summary and figures.

Reads the tables of the study and the records of its runs, executes the notebook, and writes to
RESULTS/report: report.ipynb (executed), report.html (one file that needs no network), summary.md,
and figures/*.png and *.svg. Every figure that has a caption is drawn. Nothing is written unless all
of it could be made.

Example:
    python scripts/report.py --config config.yaml --notebook reports/report.ipynb \\
        --captions reports/captions --results results/mnist

With --setup, all of this is for another set-up than the base, in RESULTS/setups/SETUP. The report
of the base of several set-ups has an overview of all, with figures whose captions are in the
folder captions_across beside the others. If the sources of variation are crossed, there are figures
whose captions are in the folder captions_crossed.
"""

import dataclasses
import gc
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from l2study.core.config import ConfigError
from l2study.core.files import write_text
from l2study.core.paths import BASE, place
from l2study.core.program import add_config, parser
from l2study.report import figures
from l2study.report.inputs import reworded
from l2study.report.study import ReportError, read_study


def write_report(
    config: str, notebook: Path, captions: Path, results: Path, setup: str = BASE
) -> None:
    """Write the report of a set-up to the folder `results`/report, or below `results`/setups.

    For `config` and `captions` see `read_study`. Beside the notebook is the page's template, page/.

    Raises:
        ConfigError: the configuration is not valid.
        ReportError: something that the report needs is missing or damaged, or the notebook failed.
    """
    study = read_study(config, results, captions, setup)
    if unknown := sorted(set(study.captions) - set(figures.ALL)):
        raise ReportError(f"{captions / unknown[0]}.rst: there is no figure of this name")
    in_order = {name: study.captions[name] for name in figures.ALL if name in study.captions}
    study = dataclasses.replace(study, captions=in_order)
    own = Path(f"{results}{place(setup)}")
    report = own / "report"
    for left in own.glob(".report-*"):  # by a report that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=own) as folder:
        drawn = Path(folder) / "figures"
        parameters = {
            "config": config,
            "results": str(results),
            "captions": str(captions),
            "figures": str(drawn),
            "setup": setup,
        }
        with figures.drawing_ahead(list(in_order), study, drawn):
            from l2study.report import page, summary  # takes long, and no figure needs it

            executed = execute(notebook, parameters, list(in_order), Path(folder))
        for cell in executed.cells:
            cell.source = cell.source.replace(str(drawn), str(report / "figures"))
        texts = {
            "report.ipynb": nbformat.writes(executed),
            "report.html": reworded(
                page.to_html(executed, notebook.parent, study.title), study.data
            ),
            "summary.md": reworded(summary.summary(study), study.data),
        }
        for name, text in texts.items():
            write_text(Path(folder) / name, text)
        (report / "figures").mkdir(parents=True, exist_ok=True)
        for path in [*sorted(drawn.iterdir()), *(Path(folder) / name for name in texts)]:
            os.replace(path, report / path.relative_to(folder))


def execute(
    notebook: Path, parameters: dict, names: Sequence[str], folder: Path
) -> nbformat.NotebookNode:
    """Return `notebook`, with all figures in `names`, executed with `parameters` in this process.

    What is written meanwhile goes to `folder`.

    Raises:
        ReportError: the notebook cannot be read, or one of its cells failed.
    """
    import papermill

    from l2study.report import in_process

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            complete = with_figures(nbformat.read(notebook, as_version=4), names)
            nbformat.write(complete, folder / "complete.ipynb")
            executed = papermill.execute_notebook(
                str(folder / "complete.ipynb"),
                None,
                parameters=parameters,
                engine_name=in_process.NAME,
                language="python",
                progress_bar=False,
                log_output=False,
                ipython_dir=str(folder / "ipython"),
            )
    except papermill.PapermillExecutionError as error:
        print("\n".join(error.traceback), file=sys.stderr)
        reason = " ".join(f"{error.ename}: {error.evalue}".split())
        cell = error.source.strip().partition("\n")[0]
        raise ReportError(f"{notebook}: the cell {cell!r} failed: {reason}") from None
    except (OSError, ValueError, nbformat.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ReportError(f"{notebook}: cannot be executed: {reason}") from None
    return without_traces(executed)


def with_figures(notebook: nbformat.NotebookNode, names: Sequence[str]) -> nbformat.NotebookNode:
    """Add to `notebook` a cell for each figure of one set-up that no cell of it names."""
    code = "".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    others = [name for name in names if name in figures.FIGURES and f'"{name}"' not in code]
    if others:
        notebook.cells.append(new_markdown_cell("## More figures", id="more-figures"))
    for name in others:
        source = f'page.figure(study, "{name}", figures)'
        notebook.cells.append(new_code_cell(source, id=f"figure-{name}"))
    return notebook


def without_traces(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return `notebook` without the times and random names of its execution."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
        cell.metadata.pop("papermill", None)
    return notebook


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for what is wrong."""
    command = parser(__doc__)
    add_config(command)
    command.add_argument("--notebook", required=True, type=Path, help="the notebook template")
    command.add_argument(
        "--captions", required=True, type=Path, help="folder with one .rst file per figure"
    )
    command.add_argument(
        "--results",
        required=True,
        type=Path,
        help="the study's folder: tables/, runs/; gets report/",
    )
    command.add_argument("--setup", default=BASE, help="the name of the set-up (default: base)")
    options = command.parse_args(arguments)
    # a stop request cleans up like an error does
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped before the report was complete"))
    try:
        write_report(**vars(options))
    except (ConfigError, ReportError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    gc.disable()  # what garbage there is fits into memory, and the search for it takes a tenth
    main()
