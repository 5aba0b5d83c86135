rule model:
    input:
        program=ancient(here("scripts/model.py")),
        # Its path says what it is of, and it depends on nothing else. If Snakemake made it again, it
        # would see no other reason to train, because what is trained takes it as `ancient`.
        data=ancient(STUDY.model_data("data.json")),
        images=ancient(STUDY.model_data("data.images.npy")),
    output:
        f"{RESULTS}/{paths.MODEL}",
    log:
        f"{LOGS}/model/{{checksum}}.log",
    # Before any training: a model that cannot be used fails here, once.
    priority: 1_000_000
    localrule: True
    conda:
        "../envs/train.yaml"
    threads: 1
    params:
        config=STUDY.model_settings,
    shell:
        "python {input.program:q} --config {params.config:q} --data {input.data:q}"
        " --threads {threads} --output {output:q} > {log:q} 2>&1"


STUDY.keep_runs_without_model()
