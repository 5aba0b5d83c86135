FIGURES = sorted(caption.stem for caption in (PROJECT / "reports" / "captions").glob("*.rst"))
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
        measures=here("schemas/measures.yaml"),
        notebook=here("reports/report.ipynb"),
        page=sorted(map(here, (PROJECT / "reports" / "page").iterdir())),
        captions=[here(f"reports/captions/{figure}.rst") for figure in FIGURES],
    output:
        [with_caption(path, "captions", "Figures") for path in REPORT],
    log:
        f"{LOGS}/report.log",
    localrule: True
    conda:
        "../envs/analyse.yaml"
    params:
        config=as_text(STUDY),
        captions=lambda wildcards, input: os.path.dirname(input.captions[0]),
        results=subpath(output[0], ancestor=2),
    shell:
        "python {input.code[0]:q} --config {params.config:q} --notebook {input.notebook:q}"
        " --captions {params.captions:q} --results {params.results:q} > {log:q} 2>&1"
