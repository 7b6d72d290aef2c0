# One self-contained page: tables, figures, curves, provenance.


rule report:
    input:
        run_files("run.json"),
        [f"{PREPARED}/{dataset}/manifest.json" for dataset in datasets_in_use()],
        rules.tables.output,
        rules.figures.output,
        per_cell("{P}/samples/{dataset}/{method}/seed{seed}.npz", externals()),
        "workflow/rendering/report.html.j2",
        metrics=f"{P}/metrics.csv",
    output:
        f"{P}/report.html",
    log:
        f"{P}/logs/report.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        # A digest, not the texts: Snakemake formats braces in parameters.
        printed=digest([printed(PRESET), PRESET.command, unused_externals(), intake() if OWN_PICTURES else None]),
        code=code("workflow/rendering/report.py"),
    message:
        "writing {output}"
    script:
        "../scripts/report.py"


localrules:
    verify,


# No inputs: it checks the existing files and runs no other rule.
rule verify:
    log:
        f"{P}/logs/verify.log",
    conda:
        "../../environment.yml"
    params:
        results=P,
    message:
        "tracing every number of {params.results} back to the images"
    shell:
        "python -m workflow.rendering.verify {params.results} 2>&1 | tee {log}"
