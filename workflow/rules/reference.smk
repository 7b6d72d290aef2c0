# Tables and figures from the committed results alone: nothing is trained, downloaded or measured.
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from workflow.clock import redate
from training.registry import sources_of

redate()  # before Snakemake looks at any date
saved = sorted(path.parent.name for path in Path("results/reference").glob("*/rendering.json"))
if set(config) != {"reference"} or not isinstance(config["reference"], list) or set(config["reference"]) - set(saved):
    sys.exit(f"error: `reference` stands alone and lists folders of results/reference: {', '.join(saved)}")

rendered = expand("results/rendered/{preset}/report.html", preset=config["reference"])


rule render:
    input:
        sources_of("workflow/scripts/reference.py"),
        "workflow/scripts/report.html.j2",
        "workflow/published.csv",
        lambda wildcards: sorted(
            path
            for path in Path("results/reference", wildcards.preset).rglob("*")
            if path.suffix in (".csv", ".json", ".png", ".pdf")
        ),
    output:
        "results/rendered/{preset}/tables/table1.md",
        "results/rendered/{preset}/tables/published.md",
        "results/rendered/{preset}/report.html",
    log:
        "results/rendered/{preset}/render.log",
    conda:
        "../../environment.yml"
    message:
        "rendering tables, figures and report of {wildcards.preset} from its committed numbers"
    shell:
        "python -m workflow.scripts.reference render --saved results/reference/{wildcards.preset}"
        " --out results/rendered/{wildcards.preset} > {log} 2>&1"
