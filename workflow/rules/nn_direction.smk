# Figure 5: IMLE and a GAN with a 1-nearest-neighbour discriminator.  It needs the 100 OpenMoji faces at 32 px, but no
# configuration, weights or GPU.
DIRECTIONS = "results/nn_direction"


rule directions:
    input:
        branch(lambda wildcards: wildcards.data == "faces", then="data/prepared/32/openmoji_faces/images.npy"),
    output:
        numbers=f"{DIRECTIONS}/{{data}}.csv",
        samples=f"{DIRECTIONS}/{{data}}.npz",
    log:
        f"{DIRECTIONS}/logs/{{data}}.log",
    wildcard_constraints:
        data="plane|faces",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        code=code("workflow/rendering/nn_direction.py"),
    message:
        "training IMLE and the 1-NN GAN ({wildcards.data})"
    script:
        "../scripts/nn_direction.py"


rule nn_direction:
    input:
        numbers=expand(f"{DIRECTIONS}/{{data}}.csv", data=("plane", "faces")),
        samples=expand(f"{DIRECTIONS}/{{data}}.npz", data=("plane", "faces")),
    output:
        numbers=f"{DIRECTIONS}/numbers.csv",
        table=f"{DIRECTIONS}/table.md",
        png=f"{DIRECTIONS}/figure5.png",
        pdf=f"{DIRECTIONS}/figure5.pdf",
    log:
        f"{DIRECTIONS}/logs/figure5.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        code=code("workflow/rendering/figure5.py"),
    message:
        "drawing Figure 5"
    script:
        "../scripts/figure5.py"
