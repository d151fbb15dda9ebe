# Rows and tables: scores of finished runs, scored by the published rule and by the sound one.


rule row:
    """One row of a table: all its seeds, under both conventions."""
    input:
        cases=told(
            lambda wildcards: [f"{run.folder}/cases.csv" for run in runs_of(wildcards)]
        ),
        split=told(lambda wildcards: SPLIT.format(**vars(runs_of(wildcards)[0]))),
    output:
        ROW,
    log:
        "results/logs/row/{table}.{method}.log",
    conda:
        "../envs/semiseg.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=spec(lambda wildcards: PLAN.scoring(wildcards.table, wildcards.method)),
        code=told(lambda wildcards: code_hash("semiseg.stages.row")),
    shell:
        "semiseg --log {log} row --spec {params.spec:q} --split {input.split} --out {output} {input.cases}"


rule table:
    """The table as CSV under both conventions, three views, cost, Markdown, LaTeX and a page to look at."""
    input:
        rows=told(lambda wildcards: PLAN.row_files(wildcards.table)),
        page=told(lambda wildcards: PLAN.page_files(wildcards.table)),
    output:
        multiext(
            "results/{table}",
            ".sound.csv",
            ".views.csv",
            ".cost.csv",
            ".md",
            ".tex",
            ".html",
        ),
        csv=TABLE,
    log:
        "results/logs/table/{table}.log",
    conda:
        "../envs/semiseg.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=spec(lambda wildcards: PLAN.tabulation(wildcards.table)),
        code=code_hash("semiseg.stages.tabulate"),
    shell:
        "semiseg --log {log} table --spec {params.spec:q} --out {output.csv} {input.rows}"
