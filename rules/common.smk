"""What the rules share. Every job of a cluster reads this again, so it only defines."""

import inspect
import os
import sys
from functools import cache
from pathlib import Path

# The project's folder, also where another workflow uses this one as a module.
PROJECT = Path(inspect.currentframe().f_code.co_filename).resolve().parents[1]
if not PROJECT.is_dir():
    sys.exit(
        "This workflow runs programs of its own folder: clone it, and name its Snakefile there."
    )
# Snakemake takes braces in a path for wildcards, and stumbles.
for folder in (os.getcwd(), str(PROJECT)):
    if "{" in folder or "}" in folder:
        sys.exit(f"Snakemake allows no braces in the name of a folder: {folder}")
sys.path.insert(0, str(PROJECT / "scripts"))

from l2study.core.program import refuse_other_packages

refuse_other_packages()

from l2study.core import code as code_of
from l2study.core import paths
from l2study.workflow.invocation import Invocation
from l2study.workflow.study import Study


def here(path):
    """Return a file of this project as a path from the working directory: no module's prefix.

    In a clone that one works in, that is `path`. So results stay valid when all of it is moved.
    """
    return local(os.path.relpath(PROJECT / path))


def code(script):
    """Return a function for `input:` with the files that determine what `script` does, it first.

    As inputs of its rule they rerun it when their content changes, and nothing else does.
    """
    files = cache(lambda: [here(path) for path in code_of.code(PROJECT / script)])
    return lambda wildcards: files()


def captioned(path, category, *folders):
    """Return `path` as an output that `snakemake --report` shows, if it has a caption.

    A file's caption is that of its name, in one of the `folders` of reports/. A figure's PNG and a
    table's copies in other formats would show the same again.
    """
    name, suffix = os.path.splitext(os.path.basename(path))
    found = [f"reports/{folder}/{name}.rst" for folder in folders]
    found = [caption for caption in found if (PROJECT / caption).exists()]
    if suffix not in (".svg", ".csv") or not found:
        return path

    def labels(wildcards):
        place = {"set-up": STUDY.name_of_setup(wildcards)} if "{place}" in path else {}
        return place | {"name": name.replace("_", " ")}

    return report(path, caption=f"../{found[0]}", category=category, labels=labels)


configfile: here("config.yaml")


STUDY = Study.read(config, workflow)
RESULTS, LOGS = STUDY.results, STUDY.logs

# A job's `python` is the one that runs Snakemake, whether or not its environment is activated.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]))
# With this one, programs would not find the modules beside them.
os.environ.pop("PYTHONSAFEPATH", None)


wildcard_constraints:
    place="(/setups/[^/]+)?",
    data="(/data/[^/]+)?",
    checksum="[0-9a-f]{12}",
    l2="[0-9.e-]+",
    seed="[0-9]+",
