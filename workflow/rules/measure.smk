"""From rows and masks to the run's tables."""


rule tables:
    """Every table of the run."""
    input:
        brought=brought,
        files=TABLE_FILES,


rule specificity:
    """Overlap of the hypernetwork's masks within and between groups (paper Fig. 6)."""
    input:
        given=ancient(given("specificity")),
        weights=weights("specificity"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        choice="<results>/{backbone}/layers.json",
        hypernet="<results>/{backbone}/hypernet.safetensors",
    output:
        pairs="<results>/{backbone}/specificity.parquet",
        sites="<results>/{backbone}/sites.parquet",
    log:
        "<logs>/specificity/{backbone}.log",
    benchmark:
        "<benchmarks>/specificity/{backbone}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
        gpu=1,
    params:
        config=EFFECTIVE,
        depends=depends("specificity"),
        code=lineage.code("specificity"),
        data=data_version("specificity"),
    message:
        "Overlap of {wildcards.backbone}'s masks"
    shell:
        "vitedit specificity --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --benchmark {input.benchmark} --choice {input.choice} --hypernet {input.hypernet}"
        " --output {output.pairs} --sites {output.sites} &> {log}"


rule tabulate:
    """All results of the run as tables, for people (CSV) and for figures (Parquet)."""
    input:
        given=ancient(given("tabulate")),
        truth=ancient(truth_files()),
        backbones=per_backbone("benchmark.parquet", "locality.parquet", "layers.parquet", "layers.json"),
        trained=hypernet_files(),
        networks=network_logs(),
        edits=edit_files(),
        shown=shown_files(),
        ablations=per_ablated_backbone(*ablation_edits(CONFIG.ablation_names(trained=False))),
        appendix=[*APPENDIX.made, *MANY.made],
        released=ancient([*APPENDIX.released, *MANY.released]),
        paper="config/paper_values.yaml",
    output:
        tables=TABLE_FILES,
    log:
        "<logs>/tabulate.log",
    benchmark:
        "<benchmarks>/tabulate.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
    params:
        folder=lambda wildcards, output: os.path.dirname(output.tables[0]),
        truth=" ".join(f"--truth {file}" for file in truth_files()),
        extra=f"{APPENDIX.flags('appendix', 'released')} {MANY.flags('many', 'released-many')}",
        config=EFFECTIVE,
        depends=[
            CONFIG.seed,
            CONFIG.search.bootstrap,
            CONFIG.specificity.sparsity,
            SHOWN,
            str(CONFIG.classes),
        ],
        code=lineage.code("tabulate"),
        data=data_version("tabulate", *APPENDIX.released, *MANY.released),
    message:
        "Tables of the run"
    shell:
        "vitedit tabulate --config {params.config} --threads {threads} {params.truth} {params.extra}"
        " --output {params.folder} &> {log}"
