# All figures of a preset (`contents.FIGURES`): one job, which imports matplotlib once.


rule figures:
    input:
        figure_inputs(),
        run_files("run.json"),
        rules.collect_learning.output if PRESET.training.checkpoints else [],
        metrics=f"{P}/metrics.csv",
    output:
        expand(f"{P}/figures/{{figure}}.{{suffix}}", figure=figures_of(PRESET), suffix=["png", "pdf"]),
    log:
        f"{P}/logs/figures.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        printed=digest(printed(PRESET)),  # not the texts: Snakemake formats braces in parameters
        code=code("workflow/rendering/figures.py", "training/protocols.py"),
    message:
        "drawing figures"
    script:
        "../scripts/figures.py"
