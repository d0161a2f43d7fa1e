"""Operations of a run's stages and methods, from its configuration and the sizes of one backbone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from network_cost import Network

from vitedit.config import Config, MaskSearchConfig
from vitedit.editors.refine_heads import RefineHeads
from vitedit.learned.tracing import COPIES as NOISED
from vitedit.model.room import AT_LEAST, BATCH_BYTES, COPIES
from vitedit.model.sites import Part
from vitedit.where.search import windows


@dataclass(frozen=True)
class Known:
    """What a configuration does not say."""

    natural: int
    """Images of the natural groups that the model gets wrong."""
    styles: dict[str, int]
    """Images of each style that the model gets wrong, in the groups that are kept."""
    near: int
    """Images of the locality set."""
    images: dict[str, int]
    """Images of every set that is run through the model."""
    updates: int
    """Updates of an edit."""


@dataclass(frozen=True)
class Run:
    """One backbone of a run: its sizes, what is edited, and how often."""

    config: Config
    net: Network
    blocks: list[int]
    known: Known

    def edits(self, images: int, groups: int) -> int:
        """Edit samples of a subset."""
        most = self.config.benchmark.max_edits
        return images if most is None else min(images, most * groups)

    @property
    def subsets(self) -> list[tuple[int, int, int]]:
        """(edits, neighbours of an edit, images of the whole style) of every subset."""
        settings = self.config.benchmark
        sizes = [(self.known.natural, settings.groups, 0)]
        sizes += [
            (n, min(settings.style_groups, n), settings.style_neighbours or 0)
            for n in self.known.styles.values()
        ]
        return [(self.edits(n, groups), math.ceil(n / groups), style) for n, groups, style in sizes]

    @property
    def total(self) -> int:
        """Edits of one setting."""
        return sum(edits for edits, *_ in self.subsets)

    @property
    def measured(self) -> int:
        """Images that the edits of one setting are measured on, summed over edits."""
        return sum(edits * (group + style + self.known.near) for edits, group, style in self.subsets)

    @property
    def seen(self) -> int:
        """Images of benchmark and locality set, whose prefix tokens are computed once a cut."""
        return self.known.natural + sum(self.known.styles.values()) + self.known.near


def _descent(run: Run) -> int:
    return run.net.prefix(run.blocks[0], "mlp") + run.known.updates * run.net.step(run.blocks, "mlp")


def _attributed(run: Run) -> int:
    """KN's 20 points of the path, each FFN's from its second matrix on, before the descent."""
    net = run.net
    points = [net.step([block], "mlp", weights=False) - net.products("mlp")[0][0] for block in run.blocks]
    return _descent(run) + 20 * sum(points)


def _low_rank(run: Run) -> int:
    every = list(range(run.net.depth))
    return run.net.prefix(0, "attn") + run.known.updates * run.net.step(every, "attn")


def _memory(run: Run) -> int:
    """T-Patcher looks at its memory at every update."""
    size = run.config.statistics.max_images or run.known.images[run.config.statistics_images]
    return run.net.whole + run.known.updates * 6 * size * run.net.width


def _predicted(run: Run, times: int, network: int = 0) -> int:
    """A gradient of the last three FFNs, the network, the edited model; `times` over."""
    last = [run.net.depth - 3, run.net.depth - 2, run.net.depth - 1]
    once = run.net.step(last, "mlp") + run.net.forward(last[0], "mlp") + network
    return run.net.prefix(last[0], "mlp") + times * once


def _null_space(run: Run) -> int:
    """X-Edit where its blocks are the last three: a descent on the CLS token behind them, three passes and the edited model's."""
    start = (run.net.depth - 3, "mlp")
    return run.net.prefix(*start) + run.known.updates * 3 * run.net.head + 4 * run.net.forward(*start)


def _traced(run: Run) -> int:
    """X-Edit's anchors, and noised copies of some with every block restored in turn: half a pass each on average."""
    settings = run.config.statistics
    return (
        settings.anchors * run.net.whole + settings.traced * NOISED * run.net.whole * (run.net.depth + 1) // 2
    )


def _mend_network(run: Run) -> int:
    """Two residual layers of half the width of [x; delta], for the tokens of six matrices."""
    width = run.net.width + run.net.hidden
    rank = run.config.train_editor.mend.rank or width // 2
    return 6 * run.net.tokens * 2 * (4 * width * rank)


def _searched(run: Run) -> int:
    """A mask search on the edit sample, then the descent."""
    settings = run.config.meta_train
    return _descent(run) + _gradients(settings) * run.net.step(run.blocks, "mlp")


def _gradients(settings: MaskSearchConfig) -> int:
    """Of a mask search: each step's inner ones and its own, but for the first inner one, which all steps share."""
    return settings.search_steps * settings.inner_steps + 1


def _scored(run: Run) -> int:
    """First block whose attention heads are scored."""
    return max(0, run.net.depth - RefineHeads.blocks)


def _without_heads(run: Run) -> int:
    """Every head of the last blocks removed in turn, the anchors without those chosen, a projection at every update."""
    net, anchors, first = run.net, run.config.statistics.kept, _scored(run)
    scored = net.heads * sum(net.forward(block, "attn") for block in range(first, net.depth))
    refined = anchors * (net.forward(first, "attn") + 2 * run.known.updates * net.head)
    return net.prefix(first, "attn") + scored + refined


EDIT: dict[str, Callable[[Run], int]] = {
    "hypernet": lambda run: run.net.whole + _descent(run),
    "searched_mask": _searched,
    "kn": _attributed,
    "spt": lambda run: _descent(run) + run.net.step(run.blocks, "mlp"),
    "t_patcher": _memory,
    "rome": lambda run: run.net.whole,
    "x_edit": _null_space,
    "lora": _low_rank,
    "ke": lambda run: _predicted(run, 5),
    "mend": lambda run: _predicted(run, 1, _mend_network(run)),
    "refine_heads": _without_heads,
}
"""Method -> operations of one edit; of a method that is not here, those of a descent."""
CUT: dict[str, Callable[[Run], tuple[int, Part]]] = {
    "t_patcher": lambda run: (run.net.depth - 1, "mlp"),
    "rome": lambda run: (run.net.depth - 1, "mlp"),
    "x_edit": lambda run: (run.net.depth - 3, "mlp"),
    "lora": lambda run: (0, "attn"),
    "ke": lambda run: (run.net.depth - 3, "mlp"),
    "mend": lambda run: (run.net.depth - 3, "mlp"),
    "refine_heads": lambda run: (_scored(run), "attn"),
}
"""Method -> where its edited models begin; of a method that is not here, before the run's first site."""


def method_cost(run: Run, method: str) -> tuple[int, int]:
    """Operations of making and of measuring all edits of a method."""
    cut = CUT.get(method, lambda run: (run.blocks[0], "mlp"))(run)
    settings = len(run.config.editors[method].settings())
    made = settings * run.total * EDIT.get(method, _descent)(run)
    suffix = run.net.forward(*cut)
    return made, settings * run.measured * suffix + run.seen * (run.net.prefix(*cut) + suffix)


def _search_layers(run: Run) -> int:
    settings, total = run.config.search, 0
    group = math.ceil(run.known.natural / run.config.benchmark.groups)
    edits = min(settings.max_edits, run.edits(group, 1))
    for one in windows(run.net.depth, settings.window):
        start, suffix = (one.first, one.part), run.net.forward(one.first, one.part)
        step = run.net.step(one.blocks, one.part)
        total += edits * (run.net.prefix(*start) + run.known.updates * step)
        total += (group + run.known.near) * (run.net.prefix(*start) + (1 + edits) * suffix)
    return total


def _meta_train(run: Run) -> int:
    settings, net, start = run.config.meta_train, run.net, (run.blocks[0], "mlp")
    search = _gradients(settings) * net.step(run.blocks, "mlp")
    image = 2 * net.prefix(*start) + net.forward(*start) + net.whole + search
    tokens, heads = 2 * len(run.blocks) + 1, 2 * len(run.blocks) * 2 * net.width * net.hidden
    passes = settings.blocks * tokens * 12 * net.width**2 + heads
    replayed = settings.replay.steps * settings.replay.batch_size if settings.replay else 0
    regressed = settings.iterations * settings.batch_size * settings.regression_steps + replayed
    return settings.iterations * settings.batch_size * image + regressed * 4 * passes


def _train_editors(run: Run) -> int:
    """Per edit: five images of its own through the base model, one gradient, the network, the edited model and back."""
    net, settings, total = run.net, run.config.train_editor, 0
    last = [net.depth - 3, net.depth - 2, net.depth - 1]
    base = net.prefix(last[0], "mlp") + net.forward(last[0], "mlp")
    for one, network in ((settings.ke, 0), (settings.mend, 3 * _mend_network(run))):
        edited = (2 + one.others) * net.step(last, "mlp")
        batch = (3 * one.batch_size + one.others) * base
        batch += one.batch_size * (2 * net.step(last, "mlp") + network + edited)
        total += one.iterations * batch
    return total


def stages(run: Run) -> dict[str, int]:
    """Operations of the stages that take nearly all of a run; the edits apart in making and measuring.

    Trials (`tune`), many edits and the edits that are shown are not counted.
    """
    config, net, images = run.config, run.net, run.known.images
    benchmark = [config.benchmark.images, *config.benchmark.styles]
    benchmark += [config.benchmark.images] if config.benchmark.stronger else []
    made, measured = zip(*(method_cost(run, method) for method in config.editors), strict=True)
    statistics = images[config.statistics_images]
    return {
        "build_benchmark": net.whole * sum(images[name] for name in benchmark),
        "build_locality": net.whole * sum(images[name] for name in config.locality.sources),
        "search_layers": _search_layers(run),
        "meta_train": _meta_train(run),
        "train_editor": _train_editors(run),
        "collect_statistics": _traced(run)
        + net.whole * min(statistics, config.statistics.max_images or statistics),
        "edit_groups: edits": sum(made),
        "edit_groups: rates": sum(measured),
        "specificity": net.whole * run.known.natural,
    }


def batch(run: Run) -> int:
    """Edits of one descent, as `vitedit.model.room` plans it on a GPU."""
    return min(run.total, max(AT_LEAST, BATCH_BYTES["cuda"] // (COPIES * run.net.edited(run.blocks, "mlp"))))


def descent_bytes(run: Run, edits: int, copies: float) -> int:
    """Peak of a descent: the model, and of every edit its matrices' copies and what the backward pass keeps."""
    net, model = run.net, 4 * run.net.depth * (4 * run.net.width**2 + 2 * run.net.width * run.net.hidden)
    return round(model + edits * (copies * net.edited(run.blocks, "mlp") + net.kept(run.blocks[0])))
