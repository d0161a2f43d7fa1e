"""Learning Where to Edit Vision Transformers, replicated: data -> where -> edit -> measure -> figures.

`snakemake -n` shows the plan. Targets: all (the default), tables, figures, notebooks; tuning tries every method's
hyper-parameters; appendix trains the proposed method's variants; many_edits edits one model again and again; images and models make again what `dvc pull` fetches; fetch downloads the data sets of the catalogue
(config/datasets.yaml) that the run needs. Another run: `--configfile config/photos.yaml` or
`config/paper.yaml`, laid over config/config.yaml.
"""

from snakemake.utils import min_version, validate

min_version("9.20")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


validate(config, "workflow/schemas/config.schema.yaml", set_default=False)


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/timings",


wildcard_constraints:
    backbone=one_of(CONFIG.backbones),
    methods=one_of([*lineage.lots(CONFIG, CONFIG.editors), *lineage.lots(CONFIG, CONFIG.tuned_methods)]),
    network=one_of(NETWORKS),
    model=one_of(CONFIG.models),
    notebook=one_of(FIGURES),
    shard=one_of(SHARDS),
    ablation=one_of([*CONFIG.ablation_names(trained=False), *CONFIG.trained_ablations]),


include: "workflow/rules/fetch.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/where.smk"
include: "workflow/rules/edit.smk"
include: "workflow/rules/ablate.smk"
include: "workflow/rules/many.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/figures.smk"


# the whole of a lot's edits in one job, or in shards that are joined
if CONFIG.shards > 1:

    ruleorder: join_edits > edit_groups
    ruleorder: join_edits_ablation > edit_groups_ablation

else:

    ruleorder: edit_groups > join_edits
    ruleorder: edit_groups_ablation > join_edits_ablation


localrules:  # targets, and seconds of joining and writing
    ablations,
    all,
    appendix,
    fetch,
    figures,
    images,
    join_edits,
    join_edits_ablation,
    many_edits,
    models,
    notebooks,
    page,
    tables,
    tuning,


onstart:
    if workflow.is_main_process:
        write_effective_config()


rule all:
    """Every table, figure and notebook of the run, and the page that shows them."""
    default_target: True
    input:
        brought=brought,
        page="<results>/index.html",
        notebooks=NOTEBOOK_FILES,
        figures=FIGURE_FILES,
        tables=TABLE_FILES,
        accuracy=(rules.measure_world.output if set(CONFIG.backbones) & set(TRAINED_HERE) else []),
