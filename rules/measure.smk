rule measure:
    input:
        program=ancient(here("scripts/measure.py")),
        data=STUDY.data_file("data.json"),
        images=ancient(STUDY.data_file("data.images.npy")),
        labels=ancient(STUDY.data_file("data.labels.npy")),
        # The record of a run holds the checksum of the weights.
        runs=STUDY.records,
    output:
        # A job finds the measures that it has made before, and measures only what is new. Where it
        # fails, Snakemake puts both files back as they were: they belong together.
        measures=update(f"{RESULTS}{{place}}/{paths.MEASURES}"),
        predictions=update(f"{RESULTS}{{place}}/{paths.PREDICTIONS}"),
    log:
        f"{LOGS}{{place}}/measure/l2~{{l2}}.log",
    priority: STUDY.priority(workflow, is_first=False)
    retries: 1
    # Within a job of a cluster, its Snakemake does this itself: to start another takes seconds.
    localrule: not STUDY.is_main
    conda:
        "../envs/train.yaml"
    threads: 1
    params:
        code=code_of.fingerprint("measure"),
        config=STUDY.settings("model", "training", "seeds"),
        results=subpath(output.measures, ancestor=2),
    shell:
        "python {input.program:q} --config {params.config:q} --data {input.data:q}"
        " --l2 {wildcards.l2} --threads {threads} --results {params.results:q} > {log:q} 2>&1"
