# Rows and tables: scores of finished runs, scored by the published rule and by the sound one.


row_inputs, row_spec, row_code = job(ROW)


rule row:
    """One row of a table: all its seeds, under both conventions."""
    input:
        unpack(row_inputs),
    output:
        out=ROW,
    log:
        "results/logs/row/{table}.{method}.log",
    conda:
        "../envs/semiseg.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=row_spec,
        code=row_code,
    shell:
        "semiseg --log {log} row --spec {params.spec:q} --code {params.code}"
        " --split {input.split} --out {output.out} {input.cases}"


table_inputs, table_spec, table_code = job(TABLE)


rule table:
    """The table as CSV under both conventions, three views, values per case, cost, Markdown, LaTeX and a page to look at."""
    input:
        unpack(with_warning(table_inputs)),
    output:
        multiext("results/{table}", *FORMS),
        csv=TABLE,
    log:
        "results/logs/table/{table}.log",
    conda:
        "../envs/semiseg.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=table_spec,
        code=table_code,
    shell:
        "semiseg --log {log} table --spec {params.spec:q} --code {params.code}"
        " --out {output.csv} {input.rows}"
