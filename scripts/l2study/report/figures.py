"""The figures of a study, drawn from its tables and written to files.

A figure is a function of a module beside this one, listed in `FIGURES`. Its parameters are the
names of the tables that it draws, `runs` always among them, and `confidence` where it says how wide
an interval is. It returns a matplotlib figure. Those in `ACROSS` draw several set-ups, and tables
that have a row for each. Those in `CROSSED` draw what only a crossed design can tell.
"""

import inspect
import io
import multiprocessing
import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from l2study.core.files import replacing
from l2study.core.scope_rows import for_seeds, widest
from l2study.report import (
    across_figures,
    effect_figures,
    gap_figures,
    training_figures,
    variance_figures,
)
from l2study.report.marks import completed, diverged_text
from l2study.report.style import RED, STYLE, message

FIGURES = {
    function.__name__: function
    for function in (
        gap_figures.gap,
        gap_figures.gap_variance,
        gap_figures.decomposition,
        training_figures.learning_curves,
        training_figures.weight_norm,
        training_figures.loss_parts,
        effect_figures.contrasts,
        effect_figures.sensitivity,
        effect_figures.robustness,
        training_figures.creep,
        effect_figures.calibration,
    )
}
"""Every figure by its name, in the order of the summary."""

ACROSS = {
    function.__name__: function
    for function in (
        across_figures.verdict_map,
        across_figures.benefit,
        across_figures.specification,
    )
}
"""The figures across set-ups, in order: for the base of a study that has several."""


CROSSED = {variance_figures.variance.__name__: variance_figures.variance}
"""The figures of studies whose sources of variation are crossed."""

MOST_PROCESSES = 4
"""At most so many draw at once: a machine with many cores may make many reports at once as well."""


def tables_of(name: str) -> list[str]:
    """Return the names of the tables that the figure `name` draws."""
    return [p for p in inspect.signature(_function(name)).parameters if p != "confidence"]


def _function(name: str) -> Callable[..., Figure]:
    return (FIGURES | ACROSS | CROSSED)[name]


def draw(name: str, tables: Mapping[str, pd.DataFrame], confidence: float) -> Figure:
    """Return the figure `name` drawn from `tables`, whose intervals have level `confidence`.

    It names the diverged runs. Where no run completed, it says that there is nothing to draw.

    Raises:
        KeyError: there is no figure `name`, or a table it needs is missing.
    """
    given = {**tables, "confidence": confidence} | _one_scope(tables)
    function = _function(name)
    arguments = {name: given[name] for name in inspect.signature(function).parameters}
    with mpl.rc_context(STYLE):
        if name in ACROSS:  # other set-ups may have runs where the base has none
            return function(**arguments)
        if completed(tables["runs"]).empty:
            drawing = message("No run of this study completed: there is nothing to draw.")
        else:
            drawing = function(**arguments)
        if text := diverged_text(tables["runs"]):
            lines = textwrap.fill(text, 85, break_long_words=False)
            drawing.supxlabel(lines, fontsize=8, x=0.01, ha="left", color=RED)
        return drawing


def _one_scope(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return those tables of which a figure shows the intervals of one scope.

    Gaps and means are shown beside single seeds, so for other seeds on the same images.
    """
    chosen = {name: for_seeds(tables[name]) for name in ("gap", "means") if name in tables}
    if "contrasts" in tables:
        chosen["contrasts"] = widest(tables["contrasts"], ["measure", "l2"])
    return chosen


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


def picture(
    name: str, tables: Mapping[str, pd.DataFrame], confidence: float, folder: str | Path = ""
) -> bytes:
    """Return the figure `name` as SVG; in `folder` it is then as .png and .svg too.

    A figure that is there already is not drawn again, and one that may be drawn at this moment is
    waited for. Without a folder, none is written.
    """
    paths = {kind: Path(folder, f"{name}.{kind}") for kind in ("png", "svg")}
    while folder:
        drawing = multiprocessing.active_children()  # see `drawing_ahead`
        if all(path.exists() for path in paths.values()):
            return paths["svg"].read_bytes()
        if not drawing:
            break
        time.sleep(0.01)
    files = render(draw(name, tables, confidence))
    if folder:
        for kind, path in paths.items():
            with replacing(path) as unfinished:
                unfinished.write_bytes(files[kind])
    return files["svg"]


@contextmanager
def drawing_ahead(
    names: list[str], tables: Mapping[str, pd.DataFrame], confidence: float, folder: Path
) -> Iterator[None]:
    """Draw the figures `names` to `folder` on all cores while this process does other things.

    `picture` then has them. One that fails is left out, so that it fails again, and says why, where
    it is shown.
    """
    context = multiprocessing.get_context("fork")  # what was imported and read is there at once
    turn, parent = context.Value("i", 0), os.getpid()

    def work() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while os.getppid() == parent:  # else it was killed
            with turn.get_lock():
                mine, turn.value = turn.value, turn.value + 1
            if mine >= len(names):
                return
            with suppress(Exception):
                picture(names[mine], tables, confidence, folder)

    count = min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
    processes = [context.Process(target=work, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()
