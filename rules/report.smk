FIGURES = sorted(caption.stem for caption in Path("reports/captions").glob("*.rst"))
REPORT = [
    f"{RESULTS}/report/report.ipynb",
    f"{RESULTS}/report/report.html",
    f"{RESULTS}/report/summary.md",
    *expand(
        f"{RESULTS}/report/figures/{{figure}}.{{format}}", figure=FIGURES, format=["png", "svg"]
    ),
]


rule report:
    input:
        TABLES,
        code=code("scripts/report.py"),
        notebook="reports/report.ipynb",
        page=sorted(map(str, Path("reports/page").iterdir())),
        captions=expand("reports/captions/{figure}.rst", figure=FIGURES),
    output:
        [with_caption(path, "captions", "Figures") for path in REPORT],
    log:
        f"{LOGS}/report.log",
    conda:
        "../envs/analyse.yaml"
    params:
        config=settings(*STUDY),
        results=subpath(output[0], ancestor=2),
    shell:
        "python scripts/report.py --config {params.config:q} --notebook {input.notebook:q}"
        " --captions reports/captions --results {params.results:q} > {log:q} 2>&1"
