rule prepare:
    input:
        code=code("scripts/prepare.py"),
    output:
        manifest=f"{RESULTS}/data.json",
        images=f"{RESULTS}/data.images.npy",
        labels=f"{RESULTS}/data.labels.npy",
    log:
        f"{LOGS}/prepare.log",
    # `prepare` may need the internet, which nodes of a cluster seldom have.
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        config=settings("dataset", "validation"),
        source=data_source,
    shell:
        "python {input.code[0]:q} --config {params.config:q} --output {output.manifest:q}"
        " > {log:q} 2>&1"
