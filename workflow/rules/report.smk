# One self-contained page: tables, figures, curves, provenance.


rule report:
    input:
        run_files("run.json"),
        [f"{PREPARED}/{dataset}/manifest.json" for dataset in datasets_in_use()],
        rules.tables.input,
        rules.figures.input,
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
        printed=[printed(PRESET), PRESET.command],
        code=code("workflow/rendering/report.py"),
    message:
        "writing {output}"
    script:
        "../scripts/report.py"
