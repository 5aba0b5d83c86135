# Only where config.yaml has `tensorboard: true`. A job per lambda: an added lambda costs one job.
rule tensorboard:
    input:
        code=code("scripts/events.py"),
        runs=STUDY.records,
    output:
        directory(f"{RESULTS}{{place}}/tensorboard/l2~{{l2}}"),
    log:
        f"{LOGS}{{place}}/tensorboard/l2~{{l2}}.log",
    localrule: True
    conda:
        "../envs/analyse.yaml"
    params:
        config=STUDY.settings("seeds"),
        results=subpath(output[0], ancestor=2),
    shell:
        "python {input.code[0]:q} --config {params.config:q} --l2 {wildcards.l2}"
        " --results {params.results:q} --output {output:q} > {log:q} 2>&1"
