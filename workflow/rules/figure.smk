# Figures of a table by name: box plots, learning curves, bars of its ablations, one test case in slices and 3D.


figure_inputs, figure_spec, figure_code = job(FIGURE)


rule figure:
    """One figure of a table as PNG, SVG or PDF; controls are left out."""
    input:
        unpack(figure_inputs),
    output:
        out=FIGURE,
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
        spec=figure_spec,
        code=figure_code,
        rows=lambda wildcards, input: " ".join(input.get("rows", ())),
    shell:
        "semiseg --log {log} figure --spec {params.spec:q} --code {params.code}"
        " --out {output.out} {params.rows}"
