# Tables 1-4 as CSV, Markdown and LaTeX, the comparison with published numbers, and the statistics: one job, because each
# takes less time than the start of another.


rule tables:
    input:
        run_files("run.json"),
        rules.collect_learning.output if PRESET.training.checkpoints else [],
        "workflow/published.csv",
        metrics=f"{P}/metrics.csv",
    output:
        expand(f"{P}/tables/table{{number}}.{{suffix}}", number=tables_of(PRESET), suffix=["csv", "md", "tex"]),
        expand(f"{P}/{{name}}.{{suffix}}", name=["tables/published", "statistics"], suffix=["csv", "md"]),
    log:
        f"{P}/logs/tables.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        printed=digest(printed(PRESET)),  # not the texts: Snakemake formats braces in parameters
        code=code(
            "training/protocols.py",
            *(f"workflow/rendering/{name}.py" for name in ("notation", "published", "statistics")),
        ),
    message:
        "rendering tables and statistics"
    script:
        "../scripts/tables.py"
