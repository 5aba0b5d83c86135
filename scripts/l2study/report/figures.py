"""The figures of a study, drawn from its tables and written to files.

A figure is a function of a module beside this one, from a study to a matplotlib figure, with the
decorator `draws`. It is known by its name as soon as it is there. The figures across set-ups are
for the base of a study that has several, and those of crossed designs tell what only these can.
"""

import io
import multiprocessing
import os
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from l2study.core import processors
from l2study.core.files import replacing
from l2study.core.scope_rows import widest
from l2study.report import (
    answer_figures,
    dose_figures,
    effect_figures,
    gap_figures,
    setups_figures,
    training_figures,
    variance_figures,
)
from l2study.report.plot_helpers import completed, diverged_text
from l2study.report.study import Study
from l2study.report.style import RED, STYLE, message


def _figures_of(*modules: ModuleType) -> dict[str, Callable[[Study], Figure]]:
    """Return the figures of modules by their names, in the order in which they are written."""
    found = (item for module in modules for item in vars(module).items())
    return {
        name: item
        for name, item in found
        if isinstance(item, FunctionType) and hasattr(item, "tables")
    }


FIGURES = _figures_of(answer_figures, gap_figures, dose_figures, training_figures, effect_figures)
"""Every figure by its name, in the order of the summary."""

ACROSS = _figures_of(setups_figures)
"""The figures across set-ups, in order: for the base of a study that has several."""

CROSSED = _figures_of(variance_figures)
"""The figures of studies whose sources of variation are crossed."""

ALL = ACROSS | FIGURES | CROSSED

MOST_PROCESSES = 4
"""At most so many draw at once: a machine with many cores may make many reports at once as well."""


def files_of(name: str) -> list[str]:
    """Return the names of the tables in files that have what the figure `name` draws."""
    made = {"all_claims": "claims", "verdicts": "claims"}
    return list(dict.fromkeys(made.get(table, table) for table in ALL[name].tables))


def draw(name: str, study: Study) -> Figure:
    """Return the figure `name` of a study.

    It names the diverged runs. Where no run completed, it says that there is nothing to draw.

    Raises:
        KeyError: there is no figure `name`, or a table it needs is missing.
    """
    function = ALL[name]
    tables = {table: _one_scope(study, table) for table in function.tables}
    study = replace(study, tables=tables)
    runs = tables.get("runs")
    with mpl.rc_context(STYLE):
        if runs is None:  # of other set-ups as well, which may have runs where the base has none
            return function(study)
        if completed(runs).empty:
            drawing = message("No run of this study completed: there is nothing to draw.")
        else:
            drawing = function(study)
        if text := diverged_text(runs):
            lines = textwrap.fill(text, 85, break_long_words=False)
            drawing.supxlabel(lines, fontsize=8, x=0.01, ha="left", color=RED)
        return drawing


def _one_scope(study: Study, name: str) -> pd.DataFrame:
    """Return a table; of contrasts, those for other images too where there are such."""
    table = study.tables[name]
    return widest(table, ["measure", "l2"]) if name == "contrasts" else table


def render(drawing: Figure) -> dict[str, bytes]:
    """Return `drawing` as the bytes of a `png` (192 dots per inch) and an `svg` (text as paths).

    They do not say when or with what they were made: equal drawings give equal bytes.
    """
    files = {"png": io.BytesIO(), "svg": io.BytesIO()}
    with mpl.rc_context(STYLE):
        # savefig would lay the drawing out in a draw of its own before each of these
        drawing.set_dpi(192)
        FigureCanvasAgg(drawing).print_png(files["png"], metadata={"Software": None})
        drawing.set_layout_engine("none")  # to find the same again would take as long as to draw
        FigureCanvasSVG(drawing).print_svg(files["svg"], metadata={"Date": None, "Creator": None})
    return {kind: file.getvalue() for kind, file in files.items()}


def picture(name: str, study: Study, folder: str | Path = "") -> bytes:
    """Return a figure of a study as SVG; in `folder` it is then as .png and .svg too.

    A figure that is there already is not drawn again, and one that is drawn ahead is waited for.
    Without a folder, none is written.
    """
    ahead = _AHEAD.get((str(folder), name))
    if ahead is not None:
        with suppress(BrokenProcessPool):  # a process was killed: draw it here
            ahead.result()
    paths = {kind: Path(folder, f"{name}.{kind}") for kind in ("png", "svg")}
    if folder and all(path.exists() for path in paths.values()):
        return paths["svg"].read_bytes()
    files = render(draw(name, study))
    if folder:
        for kind, path in paths.items():
            with replacing(path) as unfinished:
                unfinished.write_bytes(files[kind])
    return files["svg"]


_AHEAD: dict[tuple[str, str], Future] = {}
"""The figures that are drawn ahead, by folder and name."""


@contextmanager
def drawing_ahead(names: list[str], study: Study, folder: Path) -> Iterator[None]:
    """Draw the figures `names` to `folder` on all cores while this process does other things.

    `picture` then has them, and raises what was raised where one failed.
    """
    count = min(processors.usable(), MOST_PROCESSES)
    # forked processes have what was imported and read at once; only names are sent to them
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(count, fork, _begin, (study, folder))
    try:
        _AHEAD.update({(str(folder), name): pool.submit(_draw_ahead, name) for name in names})
        yield
    finally:
        _AHEAD.clear()
        pool.shutdown(cancel_futures=True)


def _begin(study: Study, folder: Path) -> None:
    """Prepare a process that draws ahead: it ends when the report is stopped or killed."""
    global _OURS
    _OURS = study, folder
    _AHEAD.clear()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _draw_ahead(name: str) -> None:
    study, folder = _OURS
    picture(name, study, folder)
