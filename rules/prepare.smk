rule prepare:
    input:
        program=ancient(here("scripts/prepare.py")),
    output:
        manifest=f"{RESULTS}{{data}}/data.json",
        images=f"{RESULTS}{{data}}/data.images.npy",
        labels=f"{RESULTS}{{data}}/data.labels.npy",
    log:
        f"{LOGS}{{data}}/prepare.log",
    # `prepare` may need the internet, which nodes of a cluster seldom have.
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        code=code_of.fingerprint("prepare"),
        config=STUDY.data_settings,
        source=STUDY.data_source,
    shell:
        "python {input.program:q} --config {params.config:q} --output {output.manifest:q}"
        " > {log:q} 2>&1"


# Where paths begin on disk: those of a module get a prefix.
STUDY.root = Path(rules.prepare.output.manifest.removesuffix(f"{RESULTS}{{data}}/data.json"))
