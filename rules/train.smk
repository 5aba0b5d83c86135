rule train:
    input:
        code=code("scripts/train.py"),
        # The manifest holds the checksum of the arrays, which are too large to be compared here.
        data=f"{RESULTS}/data.json",
        images=ancient(f"{RESULTS}/data.images.npy"),
        labels=ancient(f"{RESULTS}/data.labels.npy"),
    output:
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
        weights=f"{RUN}/weights.npz",
    log:
        f"{LOGS}/train/l2~{{l2}}/seed~{{seed}}.log",
    wildcard_constraints:
        l2="[0-9.e-]+",
        seed="[0-9]+",
    # Before measuring, so that the programs compiled for training serve one run after the other.
    priority: 1
    # A job that is killed, for want of memory or by a failing node, gets a second chance.
    retries: 1
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        # A job of a cluster has one, this machine has no limit.
        slots=1,
    params:
        config=settings("model", "training"),
        folder=subpath(output.history, parent=True),
    shell:
        "python {input.code[0]:q} --config {params.config:q} --data {input.data:q}"
        " --l2 {wildcards.l2} --seed {wildcards.seed} --threads {threads}"
        " --output {params.folder:q} > {log:q} 2>&1"
