# What the trainings that are left to do will cost on this machine.  Without outputs: every call measures again.


rule plan:
    log:
        f"{P}/logs/plan.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=gpus,
        mem_mb=PRESET.training.memory_mb,
    message:
        "timing a few steps of each method"
    shell:
        f"python -m training plan --config {CONFIG} 2>&1 | tee {{log}}"
