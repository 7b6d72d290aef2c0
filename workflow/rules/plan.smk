# Estimate the time of the remaining trainings on this machine, and check existing results.  No outputs, so every call
# works again.


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


localrules:
    verify,


# No inputs: it checks the existing files and runs no other rule.
rule verify:
    log:
        f"{P}/logs/verify.log",
    conda:
        "../../environment.yml"
    params:
        results=P,
    message:
        "tracing every number of {params.results} back to the images"
    shell:
        "python -m workflow.rendering.verify {params.results} 2>&1 | tee {log}"
