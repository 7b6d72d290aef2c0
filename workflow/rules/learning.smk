# Quality against training time: the metrics of the weights that `training.checkpoints` keeps, and of the last ones.
from workflow.rendering.contents import learning_files


rule learning:
    input:
        expand("data/raw/weights/{network}.json", network=PRESET.metrics.networks),
        LPIPS_WEIGHTS,
        f"{PREPARED}/{{dataset}}/manifest.json",
        run=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/{{split}}/run.json",
    output:
        f"{P}/metrics/{{dataset}}/{{method}}/seed{{seed}}/learning_{{split}}.json",
    log:
        f"{P}/logs/evaluate/{{dataset}}_{{method}}_seed{{seed}}_{{split}}_learning.log",
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=gpus,
        mem_mb=PRESET.training.memory_mb,
        runtime=DAY,
    params:
        run=lambda wildcards, input: str(Path(input.run).parent),
        threads=THREADS,
        settings=[PRESET.sampling.n, diversity_settings(), str(PRESET.metrics.backtracking)],
        checkpoints=list(PRESET.training.checkpoints),
        code=code("metrics/learning.py", "training/protocols.py"),
    message:
        "metrics of the checkpoints of {wildcards.method} on {wildcards.dataset} ({wildcards.split}, seed {wildcards.seed})"
    shell:
        f"python -m metrics.learning --config {CONFIG} --run {{params.run}} --out {{output}}"
        " --threads {params.threads} > {log} 2>&1"


rule collect_learning:
    input:
        [f"{P}/{name}" for name in learning_files(PRESET)],
    output:
        f"{P}/learning.csv",
    log:
        f"{P}/logs/collect_learning.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        code=code("metrics/collect.py"),
    message:
        "collecting the metrics of all checkpoints into {output}"
    script:
        "../scripts/collect.py"
