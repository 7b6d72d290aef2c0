# Figure 1: train both schedules on points in the plane.  It needs no configuration, data, weights or GPU.


rule figure1_toy:
    output:
        coverage="results/figure1/coverage.csv",
        samples="results/figure1/samples.npz",
    log:
        "results/figure1/logs/toy.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        code=code("workflow/rendering/toy.py"),
    message:
        "training vanilla and Adaptive IMLE on two clusters of points"
    script:
        "../scripts/toy.py"


rule figure1:
    input:
        coverage="results/figure1/coverage.csv",
        samples="results/figure1/samples.npz",
    output:
        png="results/figure1/figure1.png",
        pdf="results/figure1/figure1.pdf",
    log:
        "results/figure1/logs/figure1.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        code=code("workflow/rendering/figure1.py"),
    message:
        "drawing Figure 1"
    script:
        "../scripts/figure1.py"
