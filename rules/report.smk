FIGURES = sorted(caption.stem for caption in (PROJECT / "reports" / "captions").glob("*.rst"))
# The figures across set-ups, on the page of the base.
ACROSS = [
    caption.stem
    for caption in sorted((PROJECT / "reports" / "captions_across").glob("*.rst"))
    if len(SETUPS) > 1
]
# The figures of studies whose sources of variation are crossed.
CROSSED = [
    caption.stem
    for caption in sorted((PROJECT / "reports" / "captions_crossed").glob("*.rst"))
    if variation.crossed_sources(STUDY)
]
CAPTIONS = ("captions", "captions_across", "captions_crossed")
BASE_REPORT = report_of("", [*FIGURES, *CROSSED, *ACROSS])
REPORT = BASE_REPORT + [
    file
    for place in SETUPS
    if place in {cell["place"] for cell in CELLS} - {""}
    for file in report_of(place, [*FIGURES, *CROSSED])
]


rule report:
    input:
        TABLES,
        code=code("scripts/report.py"),
        measures=here("schemas/measures.yaml"),
        notebook=here("reports/report.ipynb"),
        page=sorted(map(here, (PROJECT / "reports" / "page").iterdir())),
        captions=[here(f"reports/captions/{figure}.rst") for figure in FIGURES],
        across=[here(f"reports/captions_across/{figure}.rst") for figure in ACROSS],
        crossed=[here(f"reports/captions_crossed/{figure}.rst") for figure in CROSSED],
    output:
        [with_caption(path, CAPTIONS, "Figures") for path in BASE_REPORT],
    log:
        f"{LOGS}/report.log",
    localrule: True
    conda:
        "../envs/analyse.yaml"
    params:
        config=as_text(STUDY),
        setup=setup_of,
        captions=lambda wildcards, input: os.path.dirname(input.captions[0]),
        results=subpath(input[0], ancestor=2),
    shell:
        "python {input.code[0]:q} --config {params.config:q} --setup {params.setup:q}"
        " --notebook {input.notebook:q} --captions {params.captions:q} --results {params.results:q}"
        " > {log:q} 2>&1"


use rule report as report_of_setup with:
    output:
        [
            with_caption(path, CAPTIONS, "Figures")
            for path in report_of("{place}", [*FIGURES, *CROSSED])
        ],
    log:
        f"{LOGS}{{place}}/report.log",
    wildcard_constraints:
        place="(/setups/[^/]+)",
