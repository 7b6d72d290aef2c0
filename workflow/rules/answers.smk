# Several answers to each input of a task: drawn and measured in one step, of every conditional run and every control.


rule answers:
    input:
        LPIPS_WEIGHTS,
        run=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/train/run.json",
        model=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/train/model.safetensors",
    output:
        scores=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/answers.json",
        images=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/answers.npz",
    log:
        f"{P}/logs/answers/{{dataset}}_{{method}}_seed{{seed}}.log",
    wildcard_constraints:
        method=either(PRESET.methods),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=gpus,
        mem_mb=PRESET.training.memory_mb,
        runtime=240,
    params:
        whose=lambda wildcards, input: f"--run {Path(input.run).parent}",
        threads=THREADS,
        task=lambda wildcards: digest(PRESET.tasks[wildcards.dataset].model_dump(mode="json")),
        lpips=PRESET.metrics.backtracking.perceptual,
        code=code("metrics/answers.py", "data/tasks.py", "training/protocols.py"),
    message:
        "answers of {wildcards.method} to {wildcards.dataset} (seed {wildcards.seed})"
    shell:
        f"python -m metrics.answers --config {CONFIG} {{params.whose}} --out {{output.scores}}"
        " --threads {params.threads} > {log} 2>&1"


use rule answers as answers_of_control with:
    input:
        LPIPS_WEIGHTS,
        lambda wildcards: f"{PREPARED}/{images_of(wildcards.dataset)}/manifest.json",
    output:
        scores=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/answers.json",
        images=f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/answers.npz",
    wildcard_constraints:
        method=either({name for names in ANSWER_CONTROLS.values() for name in names}),
    params:
        whose="--task {dataset} --control {method}",
