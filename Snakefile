# The study of one config: data -> one training job per (lambda, seed) -> tables -> report.
#
#     snakemake --cores 4                             the default study, config.yaml
#     snakemake --cores 4 --configfile mine.yaml      the same with keys of your own
#
# What is built is here; how, one stage per file, in rules/.
from snakemake.utils import min_version

min_version("9.14")


include: "rules/common.smk"


configfile: here("config.yaml")


# What `snakemake --report` says of the whole.
report: "reports/workflow.rst"


include: "rules/study.smk"
include: "rules/prepare.smk"
include: "rules/train.smk"
include: "rules/measure.smk"
include: "rules/aggregate.smk"
include: "rules/tensorboard.smk"
include: "rules/report.smk"


if not is_main():
    read_as_job()
elif stands_alone():
    SCREEN = take_screen()


onstart:
    start_work()


onsuccess:
    end_work(SCREEN.success(f"{RESULTS}/report/report.html"))


onerror:
    end_work(SCREEN.failures())


rule all:
    default_target: True
    input:
        # A run that has been deleted is made again, though the report may be there.
        deleted(),
        TABLES,
        REPORT,
        EVENTS,
