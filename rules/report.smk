rule report:
    input:
        STUDY.tables,
        model=STUDY.model_file(),
        code=code("scripts/report.py"),
        measures=here("schemas/measures.yaml"),
        notebook=here("reports/report.ipynb"),
        page=sorted(map(here, (PROJECT / "reports" / "page").iterdir())),
        glossary=here("docs/glossary.md"),
        captions=[
            here(f"reports/{folder}/{figure}.rst")
            for folder, figures in STUDY.figures.items()
            for figure in figures
        ],
    output:
        [captioned(path, "Figures", *STUDY.figures) for path in STUDY.report()],
    log:
        f"{LOGS}/report.log",
    localrule: True
    conda:
        "../envs/analyse.yaml"
    params:
        config=STUDY.whole,
        setup=STUDY.name_of_setup,
        captions=lambda wildcards, input: os.path.dirname(input.captions[0]),
        results=subpath(input[0], ancestor=2),
    shell:
        "python {input.code[0]:q} --config {params.config:q} --setup {params.setup:q}"
        " --notebook {input.notebook:q} --captions {params.captions:q} --results {params.results:q}"
        " > {log:q} 2>&1"


use rule report as report_of_setup with:
    output:
        [captioned(path, "Figures", *STUDY.figures) for path in STUDY.report("{place}")],
    log:
        f"{LOGS}{{place}}/report.log",
    wildcard_constraints:
        place="(/setups/[^/]+)",
