# One page for a browser: tables, charts, samples, provenance.


rule report:
    input:
        run_files("run.json"),
        [f"{PREPARED}/{dataset}/manifest.json" for dataset in datasets_in_use()],
        figure_inputs(),
        expand("workflow/rendering/report.{suffix}", suffix=["html.j2", "css", "js"]),
        rules.collect_learning.output if PRESET.training.checkpoints else [],
        metrics=f"{P}/metrics.csv",
    output:
        page=f"{P}/report.html",
        pictures=directory(f"{P}/pictures"),
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
        code=code("workflow/rendering/report.py", "workflow/rendering/pictures.py", "training/protocols.py"),
    message:
        "writing {output.page}"
    script:
        "../scripts/report.py"
