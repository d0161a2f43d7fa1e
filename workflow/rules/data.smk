"""Images and models of the embedded world, benchmark and locality set."""


rule images:
    """Renders the embedded world again (what `dvc pull` fetches ready-made)."""
    input:
        expand("<results>/images/{name}.zip", name=RENDERED),


rule models:
    """Trains the embedded world's models again (what `dvc pull` fetches ready-made)."""
    input:
        expand("<results>/pretrain/{model}.safetensors", model=TRAINED_HERE),


rule render_images:
    """Renders every image set of the embedded world."""
    output:
        zips=expand("<results>/images/{name}.zip", name=RENDERED),
        truth="<results>/images/natural_truth.csv",
        classes="<results>/images/classes.txt",
    log:
        "<logs>/render_images.log",
    benchmark:
        "<benchmarks>/render_images.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
    params:
        folder=lambda wildcards, output: os.path.dirname(output.zips[0]),
        config=EFFECTIVE,
        depends=depends("render_images"),
        code=lineage.code("render_images"),
    message:
        "Rendering the embedded world"
    shell:
        "vitedit render-images --config {params.config} --threads 2 --output {params.folder} &> {log}"


rule pretrain:
    """Trains one model of the embedded world; goes on where an interrupted training stopped."""
    input:
        start=start_file,
    output:
        checkpoint="<results>/pretrain/{model}.safetensors",
    log:
        "<logs>/pretrain/{model}.log",
    benchmark:
        "<benchmarks>/pretrain/{model}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(240),
        gpu=1,
    params:
        state=f"{RESULTS}/state/pretrain-{{model}}",
        config=EFFECTIVE,
        start=lambda wildcards: " ".join(f"--start {file}" for file in start_file(wildcards)),
        depends=depends("pretrain"),
        code=lineage.code("pretrain"),
    message:
        "Pre-training {wildcards.model}"
    shell:
        "vitedit pretrain --config {params.config} --threads {threads} --model {wildcards.model} {params.start}"
        " --state {params.state} --output {output.checkpoint} &> {log}"


rule measure_world:
    """Accuracy of the embedded world's models on fresh images."""
    input:
        given=ancient([file for file in WORLD_WEIGHTS if not made_here(file)]),
        weights=[file for file in WORLD_WEIGHTS if made_here(file)],
    output:
        table="<results>/accuracy.parquet",
        text="<results>/accuracy.csv",
    log:
        "<logs>/measure_world.log",
    benchmark:
        "<benchmarks>/measure_world.tsv"
    priority: -10
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
        gpu=1,
    params:
        config=EFFECTIVE,
        depends=depends("measure_world"),
        code=lineage.code("measure_world"),
        data=lineage.data_version(*WORLD_WEIGHTS),
    message:
        "Accuracy of the embedded world's models"
    shell:
        "vitedit measure-world --config {params.config} --threads {threads} --output {output.table} &> {log}"


rule build_benchmark:
    """Groups of images on which a backbone fails in the same way."""
    input:
        given=ancient(given("build_benchmark")),
        weights=weights("build_benchmark"),
    output:
        table="<results>/{backbone}/benchmark.parquet",
    log:
        "<logs>/build_benchmark/{backbone}.log",
    benchmark:
        "<benchmarks>/build_benchmark/{backbone}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(120),
        gpu=1,
    params:
        config=EFFECTIVE,
        depends=depends("build_benchmark"),
        code=lineage.code("build_benchmark"),
        data=data_version("build_benchmark"),
    message:
        "Groups of {wildcards.backbone}'s failures"
    shell:
        "vitedit build-benchmark --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --output {output.table} &> {log}"


rule build_locality:
    """Images that a backbone only just gets right."""
    input:
        given=ancient(given("build_locality")),
        weights=weights("build_locality"),
    output:
        table="<results>/{backbone}/locality.parquet",
    log:
        "<logs>/build_locality/{backbone}.log",
    benchmark:
        "<benchmarks>/build_locality/{backbone}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(120),
        gpu=1,
    params:
        config=EFFECTIVE,
        depends=depends("build_locality"),
        code=lineage.code("build_locality"),
        data=data_version("build_locality"),
    message:
        "Locality set of {wildcards.backbone}"
    shell:
        "vitedit build-locality --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --output {output.table} &> {log}"
