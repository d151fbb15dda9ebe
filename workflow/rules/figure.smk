# Figures of a table by name: box plots, learning curves, bars of its ablations, one test case in slices and 3D.


rule figure:
    """One figure of a table as PNG, SVG or PDF; controls are left out."""
    input:
        told(figure_files),
    output:
        "results/{table}/figures/{figure}.{format}",
    log:
        "results/logs/figure/{table}.{figure}.{format}.log",
    wildcard_constraints:
        figure=r"boxes|curves|bars|case_[\w.-]+",
        format="png|svg|pdf",
    conda:
        "../envs/semiseg.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=spec(lambda wildcards: PLAN.tabulation(wildcards.table)),
        code=code_hash("semiseg.stages.figure"),
        rows=lambda wildcards, input: (
            " ".join(input) if wildcards.figure == "bars" else ""
        ),
    shell:
        "semiseg --log {log} figure --spec {params.spec:q} --out {output} {params.rows}"
