# Estimate the time of the remaining trainings on this machine.  No outputs, so every call measures again.


rule plan:
    log:
        f"{P}/logs/plan.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=gpus,
        mem_mb=PRESET.training.memory_mb,
        runtime=60,
    message:
        "timing a few steps of each method"
    shell:
        f"python -m training plan --config {ASKED} 2>&1 | tee {{log}}"
