# Tables and figures from the committed results only: nothing is trained, downloaded or measured.
import sys
from pathlib import Path

from common.hashing import digest
from training.identity import code_hashes, sources_hash
from training.registry import methods

shell.prefix(job_prefix(f"PYTHONPATH={FOLDER}:${{PYTHONPATH:-}}"))

saved = sorted(path.parent.name for path in Path("results/reference").glob("*/config.json"))
if set(config) != {"reference"} or not isinstance(config["reference"], list) or set(config["reference"]) - set(saved):
    sys.exit(f"error: `reference` must be the only key and list folders of results/reference: {', '.join(saved)}")

rendered = expand("results/rendered/{preset}/report.html", preset=config["reference"])


rule render:
    input:
        expand("workflow/rendering/report.{suffix}", suffix=["html.j2", "css", "js"]),
        "workflow/rendering/multimodal.html.j2",
        "workflow/published.csv",
        "data/datasets.yaml",
        lambda wildcards: sorted(
            path
            for path in Path("results/reference", wildcards.preset).rglob("*")
            if path.suffix in (".csv", ".json", ".png", ".pdf", ".webp", ".md")
        ),
        metrics="results/reference/{preset}/metrics.csv",
    output:
        report="results/rendered/{preset}/report.html",
    log:
        "results/rendered/{preset}/render.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=digest(code_hashes("workflow/rendering/reference.py", "training/protocols.py")),
        sources={name: sources_hash(name) for name in methods()},  # captions say whether they have changed
    message:
        "rendering tables, figures and report of {wildcards.preset} from its committed numbers"
    script:
        "../scripts/render.py"


rule site:
    input:
        "workflow/rendering/site.html.j2",
        "workflow/rendering/report.css",
        pages=rendered,
    output:
        "results/rendered/index.html",
    log:
        "results/rendered/site.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=digest(code_hashes("workflow/rendering/site.py")),
    message:
        "listing all reports in {output}"
    script:
        "../scripts/site.py"


localrules:
    verify,


# No inputs: it checks the existing files and writes only its log.
rule verify:
    log:
        "results/rendered/verify.log",
    conda:
        "../../environment.yml"
    params:
        saved=[f"results/reference/{preset}" for preset in config["reference"]]
        + sorted(str(path.parent) for path in Path("results/community").glob("*/config.json")),
    message:
        "comparing the committed tables, numbers and run records with each other"
    shell:
        "python -m workflow.rendering.verify {params.saved} 2>&1 | tee {log}"
