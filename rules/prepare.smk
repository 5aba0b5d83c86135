rule prepare:
    input:
        code=code("scripts/prepare.py"),
    output:
        manifest=f"{RESULTS}/data.json",
        images=f"{RESULTS}/data.images.npy",
        labels=f"{RESULTS}/data.labels.npy",
    log:
        f"{LOGS}/prepare.log",
    conda:
        "../envs/train.yaml"
    params:
        config=settings("dataset", "validation"),
        # The source is followed by its content: its time changes with every copy.
        source=lambda wildcards: source_fingerprint(STUDY["dataset"]),
    shell:
        "python scripts/prepare.py --config {params.config:q} --output {output.manifest:q}"
        " > {log:q} 2>&1"
