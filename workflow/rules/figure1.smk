# Figure 1, live: both schedules on points of the plane.  It needs no configuration, data, weights or GPU.


rule figure1_toy:
    input:
        code("workflow/scripts/toy.py"),
    output:
        coverage="results/figure1/coverage.csv",
        samples="results/figure1/samples.npz",
    log:
        "results/figure1/logs/toy.log",
    conda:
        "../../environment.yml"
    message:
        "training vanilla and Adaptive IMLE on two clusters of points"
    shell:
        "python -m workflow.scripts.toy --out-coverage {output.coverage} --out-samples {output.samples} > {log} 2>&1"


rule figure1:
    input:
        code("workflow/scripts/figure1.py"),
        coverage="results/figure1/coverage.csv",
        samples="results/figure1/samples.npz",
    output:
        png=report(
            "results/figure1/figure1.png",
            caption="../captions/figure1.rst",
            category="Figures",
        ),
        pdf="results/figure1/figure1.pdf",
    log:
        "results/figure1/logs/figure1.log",
    conda:
        "../../environment.yml"
    message:
        "drawing Figure 1"
    shell:
        "python -m workflow.scripts.figure1 --coverage {input.coverage} --samples {input.samples}"
        " --out-png {output.png} --out-pdf {output.pdf} > {log} 2>&1"
