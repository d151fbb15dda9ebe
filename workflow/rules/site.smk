# The site over all tables that are built. It has no inputs for Snakemake: reading results must not build any. Which
# tables there are, and by which records, is part of its parameters.


_, site_spec, site_code = job(SITE)


rule site:
    """Pages over all tables: sorted, filtered, with cases, scans and origin, without a server."""
    output:
        out=SITE,
        files=SITE_FILES,
    log:
        "results/logs/site.log",
    conda:
        "../envs/semiseg.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=site_spec,
        code=site_code,
    shell:
        "semiseg --log {log} site --spec {params.spec:q} --code {params.code}"
        " --workers {threads} --out {output.out} --files {output.files}"
