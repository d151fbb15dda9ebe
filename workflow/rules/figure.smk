# Figures of a table by name: box plots, learning curves, bars of its ablations, seconds of a training step, one test case
# in slices and 3D.


_, seconds_spec, seconds_code = job(SECONDS)


rule seconds:
    """Seconds of a training step of each row, measured side by side on one device; it reads no data."""
    output:
        out=SECONDS,
    log:
        "results/logs/seconds/{table}.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=480,
    params:
        spec=seconds_spec,
        code=seconds_code,
    shell:
        "semiseg --log {log} seconds --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpu {resources.gpu} --out {output.out}"


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
        figure=r"boxes|curves|bars|seconds|case_[\w.-]+",
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
