LEDGER = STUDY.design.base.ledger


rule aggregate:
    input:
        code=code("scripts/aggregate.py"),
        # A ledger of the project, or a file of the user.
        claims=here(f"reports/claims/{LEDGER}.yaml") if LEDGER in paths.LEDGERS else LEDGER,
        descriptions=[
            here("schemas/claims.schema.yaml"),
            here("schemas/measures.yaml"),
            here("schemas/tables.yaml"),
        ],
        data=[f"{RESULTS}{place}/data.json" for place in STUDY.design.data],
        checks=[f"{RESULTS}{place}/{paths.DATA_CHECK}" for place in STUDY.design.data],
        again=STUDY.deleted_after_measuring(),
        # Measures record the checksum of the weights that they are of. Snakemake keeps a record of every
        # input of every table: the files of the runs would be too many.
        measures=[STUDY.measures(cell) for cell in STUDY.runs],
        predictions=[STUDY.predictions(cell) for cell in STUDY.runs],
    output:
        [captioned(path, "Tables", "tables") for path in STUDY.tables],
    log:
        f"{LOGS}/aggregate.log",
    localrule: True
    conda:
        "../envs/analyse.yaml"
    params:
        config=STUDY.whole,
        missing="--allow-missing" if STUDY.lacks_runs else "",
        results=subpath(output[0], ancestor=2),
    shell:
        "python {input.code[0]:q} --config {params.config:q} --claims {input.claims:q}"
        " --results {params.results:q} {params.missing} > {log:q} 2>&1"
