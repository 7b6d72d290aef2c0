# Figures 2 and 3 of the paper, its latent interpolation, a memorisation check and the training curves.


def figure_inputs(wildcards):
    """The files that a figure shows, and those that name its rows and commit."""
    real = [f"{PREPARED}/{dataset}/images.npy" for dataset in datasets_in_use()]
    sampled = PRESET.cells() + externals()
    samples = per_cell("{P}/samples/{dataset}/{method}/seed{seed}.npz", sampled)
    features = per_cell("{P}/features/inception/{dataset}/{method}/seed{seed}.npz", sampled)
    features += [f"{P}/features/inception/{dataset}/real.npz" for dataset in datasets_in_use()]
    shown = {
        "figure2": real + samples,
        "figure3": per_cell("{P}/metrics/{dataset}/{method}/seed{seed}/backtracking.npz", PRESET.cells("train90")),
        "interpolation": samples,
        "memorisation": real + samples + features,
        "curves": run_files("history.csv"),
    }
    return shown[wildcards.figure] + run_files("run.json") + [f"{P}/metrics.csv"]


rule figure:
    input:
        figure_inputs,
    output:
        png=f"{P}/figures/{{figure}}.png",
        pdf=f"{P}/figures/{{figure}}.pdf",
    log:
        f"{P}/logs/figures/{{figure}}.log",
    wildcard_constraints:
        figure=either(FIGURES),
    conda:
        "../../environment.yml"
    params:
        results=P,
        prepared=PREPARED,
        printed=printed(PRESET),
        code=code("workflow/rendering/figures.py"),
    message:
        "drawing {wildcards.figure}"
    script:
        "../scripts/figure.py"


rule figures:
    input:
        expand(f"{P}/figures/{{figure}}.png", figure=FIGURES),
