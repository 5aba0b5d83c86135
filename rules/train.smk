rule train:
    input:
        # What it imports to train is in `code`; what else it does makes no run stale.
        program=ancient(here("scripts/train.py")),
        # The manifest holds the checksum of the arrays, which are too large to be compared here.
        data=STUDY.data_file("data.json"),
        images=ancient(STUDY.data_file("data.images.npy")),
        labels=ancient(STUDY.data_file("data.labels.npy")),
        # Where the model is refused, no run begins.
        model=ancient(STUDY.model_file()),
    output:
        history=f"{RESULTS}{{place}}/{paths.RUN}/history.csv",
        run=f"{RESULTS}{{place}}/{paths.RUN}/run.json",
        weights=f"{RESULTS}{{place}}/{paths.RUN}/weights.npz",
        predictions=f"{RESULTS}{{place}}/{paths.RUN}/predictions.npz",
    log:
        f"{LOGS}{{place}}/train/l2~{{l2}}/seed~{{seed}}.log",
    # Before measuring, and one set-up after the other, so that compiled programs serve many runs.
    priority: STUDY.priority(workflow, is_first=True)
    # A job that is killed, for want of memory or by a failing node, gets a second chance.
    retries: 1
    # Within a job of a cluster, its Snakemake does this itself: to start another takes seconds.
    localrule: not STUDY.is_main
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        # A job of a cluster has one, this machine has no limit.
        slots=1,
    params:
        # One text for all files that train: Snakemake takes long over each input of each run.
        code=code_of.fingerprint("train"),
        config=STUDY.settings("model", "training"),
        folder=subpath(output.history, parent=True),
        sources=STUDY.sources,
        sharing=STUDY.sharing,
    shell:
        "python {input.program:q} --config {params.config:q} --data {input.data:q}"
        " --l2 {wildcards.l2} --seed {wildcards.seed} {params.sources} --threads {threads}"
        " --output {params.folder:q} {params.sharing} > {log:q} 2>&1"
