"""Variants of one method through the rules of the run: other samples, other trainings (paper Fig. 5b and its appendix)."""


use rule meta_train as meta_train_ablation with:
    output:
        hypernet="<results>/{backbone}/ablations/{ablation}/hypernet.safetensors",
        log_table="<results>/{backbone}/ablations/{ablation}/hypernet_log.parquet",
    log:
        "<logs>/meta_train_ablation/{backbone}/{ablation}.log",
    benchmark:
        "<benchmarks>/meta_train_ablation/{backbone}/{ablation}.tsv"
    params:
        state=state_file("meta_train", ".pt"),
        ablation=ablation_flag,
    message:
        "Meta-training {wildcards.backbone} under {wildcards.ablation}"


use rule edit_groups as edit_groups_ablation with:
    output:
        rows="<results>/{backbone}/ablations/{ablation}/edits.parquet",
    log:
        "<logs>/edit_groups_ablation/{backbone}/{ablation}.log",
    benchmark:
        "<benchmarks>/edit_groups_ablation/{backbone}/{ablation}.tsv"
    params:
        ablation=ablation_flag,
    message:
        "Editing {wildcards.backbone} under {wildcards.ablation}"


use rule edit_shard as edit_shard_ablation with:
    output:
        rows="<results>/{backbone}/ablations/{ablation}/edits/{shard}.parquet",
    log:
        "<logs>/edit_groups_ablation/{backbone}/{ablation}/{shard}.log",
    benchmark:
        "<benchmarks>/edit_groups_ablation/{backbone}/{ablation}/{shard}.tsv"
    params:
        ablation=ablation_flag,
    message:
        "Editing {wildcards.backbone} under {wildcards.ablation}, part {wildcards.shard}"


use rule join_edits as join_edits_ablation with:
    input:
        shards=expand("<results>/{{backbone}}/ablations/{{ablation}}/edits/{shard}.parquet", shard=SHARDS),
    output:
        rows="<results>/{backbone}/ablations/{ablation}/edits.parquet",
    log:
        "<logs>/join_edits_ablation/{backbone}/{ablation}.log",
    benchmark:
        "<benchmarks>/join_edits_ablation/{backbone}/{ablation}.tsv"
    params:
        ablation=ablation_flag,
    message:
        "Edits of {wildcards.backbone} under {wildcards.ablation}"


rule ablations:
    """Edits of all ablations that have a training of their own, as one table."""
    input:
        default=per_ablated_backbone(*default_edits()),
        edits=per_ablated_backbone(*ablation_edits(CONFIG.trained_ablations)),
    output:
        table=APPENDIX.file,
    log:
        "<logs>/ablations.log",
    benchmark:
        "<benchmarks>/ablations.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        config=EFFECTIVE,
        code=lineage.code("ablations"),
    message:
        "Table of the ablations"
    shell:
        "vitedit ablations --config {params.config} --threads {threads} --output {output.table} &> {log}"


rule appendix:
    """Every ablation that has a training of its own; `snakemake` then shows them."""
    input:
        brought=brought,
        table=(APPENDIX.file if CONFIG.trained_ablations else []),
