# Tables and figures from the committed results alone: nothing is trained, downloaded or measured.
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from methods.discover import sources_of

unknown = [name for name in config["reference"] if not Path("results/reference", name, "rendering.json").is_file()]
if unknown or set(config) != {"reference"}:
    known = ", ".join(sorted(path.parent.name for path in Path("results/reference").glob("*/rendering.json")))
    sys.exit(f"error: config/reference.yaml takes one key, reference: a list of folders of results/reference ({known})")

rendered = expand("results/rendered/{preset}/report.html", preset=config["reference"])


rule render:
    input:
        sources_of("workflow/scripts/reference.py"),
        lambda wildcards: sorted(
            path for path in Path("results/reference", wildcards.preset).rglob("*") if path.suffix in (".csv", ".json")
        ),
    output:
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
