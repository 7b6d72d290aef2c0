# Figures 2 and 3 of the paper, its latent interpolation, a memorisation check and the training curves.


rule figure:
    input:
        figure_inputs,
        settings=f"{P}/rendering.json",
        scripts=code("workflow/scripts/figures.py"),
    output:
        png=report(
            f"{P}/figures/{{figure}}.png",
            caption="../captions/figure.rst",
            category="Figures",
        ),
        pdf=f"{P}/figures/{{figure}}.pdf",
    log:
        f"{P}/logs/figures/{{figure}}.log",
    conda:
        "../../environment.yml"
    params:
        results=lambda wildcards, input: str(Path(input.settings).parent),
        prepared=lambda wildcards: PREPARED,
    message:
        "drawing {wildcards.figure}"
    shell:
        "python -m workflow.scripts.figures {wildcards.figure} --settings {input.settings} --results {params.results}"
        " --prepared {params.prepared} --features {params.results}/features/inception"
        " --out-png {output.png} --out-pdf {output.pdf} > {log} 2>&1"


rule figures:
    input:
        [f"{P}/figures/{figure}.png" for figure in FIGURES],
