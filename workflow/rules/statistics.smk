# Intervals, tests and ranks over seeds and data sets.


rule statistics:
    input:
        run_files("run.json"),
        metrics=f"{P}/metrics.csv",
    output:
        csv=f"{P}/statistics.csv",
        md=f"{P}/statistics.md",
    log:
        f"{P}/logs/statistics.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        printed=printed(PRESET),
        code=code("workflow/rendering/statistics.py"),
    message:
        "testing differences between methods"
    script:
        "../scripts/statistics.py"
