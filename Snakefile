# The study of one config: data -> one training job per (lambda, seed) -> tables -> report.
#
#     snakemake --cores 4                             the default study, config.yaml
#     snakemake --cores 4 --configfile mine.yaml      the same with keys of your own
#
# What is built is here; how, one stage per file, in rules/.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


# What `snakemake --report` says of the whole.
report: "reports/workflow.rst"


include: "rules/common.smk"
include: "rules/prepare.smk"
include: "rules/train.smk"
include: "rules/aggregate.smk"
include: "rules/tensorboard.smk"
include: "rules/report.smk"


# Where training is sent to a cluster, these stay: `prepare` may need the internet, and none is worth
# waiting for in a queue.
localrules:
    prepare,
    aggregate,
    tensorboard,
    report,


onstart:
    start_work()


onsuccess:
    owner.rest(LOCK)
    print(PROGRESS.success(), file=sys.stderr)


onerror:
    owner.rest(LOCK)
    print(PROGRESS.failures(), file=sys.stderr)


rule all:
    default_target: True
    input:
        # A run that has been deleted is made again, though the report may be there.
        runs("history.csv"),
        runs("run.json"),
        TABLES,
        REPORT,
        EVENTS,
