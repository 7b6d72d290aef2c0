# Figures 2 and 3 of the paper, its latent interpolation, a memorisation check and the training curves.


rule figure:
    input:
        figure_inputs,
        run_files("run.json"),
        metrics=f"{P}/metrics.csv",
    output:
        png=f"{P}/figures/{{figure}}.png",
        pdf=f"{P}/figures/{{figure}}.pdf",
    log:
        f"{P}/logs/figures/{{figure}}.log",
    wildcard_constraints:
        figure=either(FIGURES),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        printed=digest(printed(PRESET)),  # not the texts: Snakemake formats braces in parameters
        code=code("workflow/rendering/figures.py"),
    message:
        "drawing {wildcards.figure}"
    script:
        "../scripts/figure.py"


localrules:
    figures,


rule figures:
    input:
        expand(f"{P}/figures/{{figure}}.png", figure=FIGURES if PRESET.datasets else []),
        expand(f"{P}/figures/{{figure}}.png", figure=["figure4", "figure5"] if PRESET.tasks else []),
