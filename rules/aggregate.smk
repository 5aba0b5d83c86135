CELLS = cells()
TABLES = [
    f"{RESULTS}/tables/{file}"
    for file in [
        *sorted(
            f"{caption.stem}.csv" for caption in (PROJECT / "reports" / "tables").glob("*.rst")
        ),
        "histories.parquet",
        "runs.parquet",
        "datapackage.json",
    ]
]


rule aggregate:
    input:
        code=code("scripts/aggregate.py"),
        claims=ledger(),
        descriptions=[
            here("schemas/claims.schema.yaml"),
            here("schemas/measures.yaml"),
            here("schemas/tables.yaml"),
        ],
        data=[f"{RESULTS}{place}/data.json" for place in DATA],
        again=deleted_after_measuring(),
        # These are of the runs, and know the weights of each. Snakemake keeps a record of every input of
        # every table: the files of the runs would be too many.
        measures=[f"{RESULTS}{{place}}/{paths.MEASURES}".format(**cell) for cell in CELLS],
        predictions=[f"{RESULTS}{{place}}/{paths.PREDICTIONS}".format(**cell) for cell in CELLS],
    output:
        [with_caption(path, ["tables"], "Tables") for path in TABLES],
    log:
        f"{LOGS}/aggregate.log",
    localrule: True
    conda:
        "../envs/analyse.yaml"
    params:
        config=as_text(STUDY),
        missing="--allow-missing" if missing() else "",
        results=subpath(output[0], ancestor=2),
    shell:
        "python {input.code[0]:q} --config {params.config:q} --claims {input.claims:q}"
        " --results {params.results:q} {params.missing} > {log:q} 2>&1"
