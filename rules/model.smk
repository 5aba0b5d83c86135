rule model:
    input:
        # Checks and messages make nothing stale; what decides how a model is built is in `code`.
        program=ancient(here("scripts/model.py")),
        # Its path says what it is of, and it depends on nothing else. If Snakemake made it again, it
        # would see no other reason to train, because what is trained takes it as `ancient`.
        data=ancient(STUDY.data_file("data.json")),
        images=ancient(STUDY.data_file("data.images.npy")),
    output:
        f"{RESULTS}{{place}}/{paths.MODEL}",
    log:
        f"{LOGS}{{place}}/model/{{checksum}}.log",
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
