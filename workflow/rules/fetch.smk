"""Data sets and weights from elsewhere."""


rule fetch:
    """Downloads the data sets that the run needs, and says what has to be brought by hand."""
    log:
        "<logs>/fetch.log",
    conda:
        "../../environment.yml"
    params:
        config=EFFECTIVE,
    message:
        "Fetching data sets"
    shell:
        "vitedit fetch --config {params.config} 2> >(tee {log} >&2)"
