# The study of one config: data -> one training job per (lambda, seed) -> tables -> report.
#
#     snakemake --cores 4                             the default study, config.yaml
#     snakemake --cores 4 --configfile mine.yaml      the same with keys of your own
#
# What is built is here; how, one stage per file, in rules/.
from snakemake.utils import min_version

min_version("9.14")


# What `snakemake --report` says of the whole.
report: "reports/workflow.rst"


# Reads config.yaml, and defines the study of it.
include: "rules/common.smk"
include: "rules/prepare.smk"
include: "rules/check_data.smk"
include: "rules/model.smk"
include: "rules/train.smk"
include: "rules/measure.smk"
include: "rules/aggregate.smk"
include: "rules/tensorboard.smk"
include: "rules/report.smk"


INVOCATION = Invocation(workflow, STUDY)


# In a module, some Snakemakes would take these in place of those of the other workflow.
if STUDY.stands_alone:

    onstart:
        INVOCATION.begin()

    onsuccess:
        INVOCATION.end(is_made=True)

    onerror:
        INVOCATION.end(is_made=False)


rule all:
    default_target: True
    input:
        # A run that has been deleted is made again, though the report may be there.
        STUDY.deleted(),
        STUDY.tables,
        STUDY.reports,
        STUDY.events,
