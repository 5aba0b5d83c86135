"""An engine of papermill that executes a notebook in this process.

What this process has imported and drawn is at hand for the notebook. A Jupyter kernel would be a
process of its own that has to start and to import all of it again.
"""

from types import ModuleType

from IPython.core.displayhook import DisplayHook
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat import NotebookNode
from nbformat.v4 import new_output
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
from traitlets.config import Config

NAME = "in-process"
"""The name of the engine."""


class _Hook(DisplayHook):
    """Shows the value of a cell as `display` would, where IPython prints it."""

    def write_output_prompt(self) -> None:
        """Leave out IPython's prompt."""

    def write_format_data(self, format_dict: dict, md_dict: dict | None = None) -> None:
        """Show the value in all its forms."""
        self.shell.display_pub.publish(format_dict, md_dict)


class InProcess(Engine):
    """Executes the cells of a notebook one by one, up to the first that fails."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, *, ipython_dir: str, **_: object
    ) -> None:
        """Execute the notebook of `nb_man`, which must be in Python; IPython has `ipython_dir`.

        Raises:
            BaseException: what is no Exception and ends a cell, such as a request to stop.
        """
        # without history, which would go to a file that all of IPython shares
        shell = InteractiveShell.instance(
            config=Config(HistoryManager={"enabled": False}),
            displayhook_class=_Hook,
            ipython_dir=ipython_dir,
            user_module=ModuleType("notebook"),
            colors="nocolor",
        )
        try:
            for index, cell in enumerate(nb_man.nb.cells):
                if cell.cell_type != "code":
                    continue
                nb_man.cell_start(cell, index)
                completed = _execute(shell, cell)
                nb_man.cell_complete(cell, index)
                if not completed:
                    break
        finally:
            InteractiveShell.clear_instance()


def _execute(shell: InteractiveShell, cell: NotebookNode) -> bool:
    """Execute a cell, put its outputs into it, and return whether it came to its end."""
    with capture_output() as shown:
        result = shell.run_cell(cell.source, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    if error and not isinstance(error, Exception):
        raise error
    cell.execution_count = result.execution_count
    printed = {"stdout": shown.stdout, "stderr": shown.stderr}
    cell.outputs = [new_output("stream", name=n, text=text) for n, text in printed.items() if text]
    for output in shown.outputs:
        cell.outputs.append(new_output("display_data", output.data, metadata=output.metadata or {}))
    if error:
        # IPython has printed the traceback
        about = {"ename": type(error).__name__, "evalue": str(error), "traceback": [shown.stdout]}
        cell.outputs.append(new_output("error", **about))
    elif result.result is not None:
        cell.outputs[-1].output_type = "execute_result"
        cell.outputs[-1].execution_count = result.execution_count
    return result.success


papermill_engines.register(NAME, InProcess)
