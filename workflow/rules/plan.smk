# What the configuration costs on this machine, and a refusal of trainings that it cannot do.
import importlib.util
import subprocess


# Without declared outputs: every call measures anew.  The options repeat those that gave this configuration.
rule plan:
    log:
        f"{P}/logs/plan.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=gpus,
        mem_mb=TRAINING["memory_mb"],
    params:
        files=config_files(),
        overrides=[f"{key}={json.dumps(value)}" for key, value in workflow.config_settings.config.items()],
        settings=lambda wildcards: json.dumps(
            {
                "config": config,
                "outputs": {rule.name: len(rule.output) for rule in workflow.rules},
                "gpus": getattr(workflow.global_resources.get("gpu"), "value", 1),
            }
        ),
        out=f"{P}/plan.json",
    message:
        "timing a few steps of everything (log: {log})"
    shell:
        # Threads that wait shall use no CPU time, which is what is measured.
        "export OMP_WAIT_POLICY=passive;"
        " python -m snakemake --summary --configfile {params.files:q} --config {params.overrides:q} 2> {log}"
        " | python -m training plan --settings {params.settings:q} --out {params.out} 2>> {log}"


# Where jobs run on this machine, an absent GPU is known before hours of downloads; elsewhere each training looks itself.
onstart:
    check_writable()
    trainings = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "train"]
    trainings = [job for job in trainings if method_info(job.wildcards.method).trains]
    if trainings and TRAINING["require_gpu"] and workflow.local_exec and importlib.util.find_spec("torch"):
        first = min(trainings, key=lambda job: str(job.output.run))
        check = ["python", "-m", "training", "train", "--check", "--settings", first.params.settings]
        if subprocess.run(check).returncode:
            sys.exit(1)
