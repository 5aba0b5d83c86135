# Only where config.yaml has `tensorboard: true`. A job per lambda: an added lambda costs one job.
EVENTS = [
    f"{RESULTS}/tensorboard/l2~{l2}"
    for l2 in STUDY["lambdas"]
    if TENSORBOARD and runs("run.json", l2)
]


rule tensorboard:
    input:
        code=code("scripts/events.py"),
        histories=lambda wildcards: runs("history.csv", wildcards.l2),
        runs=lambda wildcards: runs("run.json", wildcards.l2),
    output:
        directory(f"{RESULTS}/tensorboard/l2~{{l2}}"),
    log:
        f"{LOGS}/tensorboard/l2~{{l2}}.log",
    wildcard_constraints:
        l2="[0-9.e-]+",
    localrule: True
    conda:
        "../envs/analyse.yaml"
    params:
        config=settings("training", "seeds"),
        results=subpath(output[0], ancestor=2),
    shell:
        "python {input.code[0]:q} --config {params.config:q} --l2 {wildcards.l2}"
        " --results {params.results:q} --output {output:q} > {log:q} 2>&1"
