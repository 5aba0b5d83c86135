# A rule of its own: a new output of `prepare` would prepare finished studies again, and train them.
rule check_data:
    input:
        program=ancient(here("scripts/check_data.py")),
        # The arrays beside it are made with it. If they have been deleted, they are not made for this.
        data=f"{RESULTS}{{data}}/data.json",
    output:
        f"{RESULTS}{{data}}/{paths.DATA_CHECK}",
    log:
        f"{LOGS}{{data}}/check_data.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        code=code_of.fingerprint("check_data"),
    shell:
        "python {input.program:q} --data {input.data:q} --output {output:q} > {log:q} 2>&1"
