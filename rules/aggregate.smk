TABLES = expand(
    f"{RESULTS}/tables/{{file}}",
    file=[
        "histories.csv",
        "runs.csv",
        "gap.csv",
        "contrasts.csv",
        "choice.csv",
        "power.csv",
        "weight_histogram.csv",
        "claims.csv",
        "histories.parquet",
        "runs.parquet",
        "datapackage.json",
    ],
)


rule aggregate:
    input:
        code=code("scripts/aggregate.py"),
        claims="reports/claims.yaml",
        descriptions="schemas/tables.yaml",
        data=f"{RESULTS}/data.json",
        histories=runs("history.csv"),
        runs=runs("run.json"),
    output:
        [with_caption(path, "tables", "Tables") for path in TABLES],
    log:
        f"{LOGS}/aggregate.log",
    conda:
        "../envs/analyse.yaml"
    params:
        config=settings(*STUDY),
        missing="--allow-missing" if MISSING else "",
        results=subpath(output[0], ancestor=2),
    shell:
        "python scripts/aggregate.py --config {params.config:q} --claims {input.claims:q}"
        " --results {params.results:q} {params.missing} > {log:q} 2>&1"
