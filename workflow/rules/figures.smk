"""Notebooks on the run's tables, the figures they draw, and the page that shows both."""


rule notebooks:
    """Every notebook, executed and as a page."""
    input:
        brought=brought,
        files=NOTEBOOK_FILES,


rule figures:
    """Every figure, as a picture and for print, and what it shows as a table."""
    input:
        brought=brought,
        files=FIGURE_FILES,


for name, drawn in FIGURES.items():

    rule:
        """Executes one notebook on the run's tables; it draws the figures that `vitedit.figures.FIGURES` lists."""
        name:
            f"notebook_{name}"
        input:
            notebook=f"notebooks/{name}.ipynb",
            tables=PARQUET_FILES,
        output:
            executed=f"<results>/notebooks/{name}.ipynb",
            page=f"<results>/notebooks/{name}.html",
            figures=[
                report(
                    f"<results>/figures/{figure}.png",
                    caption=f"../report/{figure}.rst",
                    category="Figures",
                    subcategory=name,
                    labels={"figure": figure},
                )
                for figure in drawn
            ],
            beside=[
                f"<results>/figures/{figure}.{suffix}"
                for figure in drawn
                for suffix in SUFFIXES
                if suffix != "png"
            ],
        log:
            f"<logs>/notebook/{name}.log",
        benchmark:
            f"<benchmarks>/notebook/{name}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=scaled(4000),
            runtime=scaled(30),
            notebook=1,
        params:
            tables=lambda wildcards, input: os.path.dirname(input.tables[0]),
            figures=lambda wildcards, output: os.path.dirname(output.figures[0]),
            config=EFFECTIVE,
            code=lineage.notebook_code(Path(f"notebooks/{name}.ipynb")),
        message:
            f"Notebook {name}"
        shell:
            "vitedit notebook --config {params.config} --threads {threads} --notebook {input.notebook}"
            " --tables {params.tables} --figures {params.figures}"
            " --output {output.executed} --html {output.page} &> {log}"


rule page:
    """One page with the run's figures, tables and notebooks."""
    input:
        notebooks=NOTEBOOK_FILES,
        figures=FIGURE_FILES,
        tables=PARQUET_FILES,
    output:
        page="<results>/index.html",
    log:
        "<logs>/page.log",
    benchmark:
        "<benchmarks>/page.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        config=EFFECTIVE,
        depends=CONFIG.model_dump(mode="json"),  # the page shows it
        code=lineage.code("page"),
    message:
        "Page of the run"
    shell:
        "vitedit page --config {params.config} --threads {threads} --output {output.page} &> {log}"
