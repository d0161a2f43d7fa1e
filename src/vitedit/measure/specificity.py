"""Whether masks depend on the error: overlap within and between groups (paper Fig. 6), and where the masks lie."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from vitedit.where.masks import iou


def overlaps(masks: Float[Tensor, "edits units"], samples: pd.DataFrame) -> pd.DataFrame:
    """Intersection over union of every unordered pair of masks.

    Args:
        masks: Binary masks.
        samples: One row a mask, with columns group and file.

    Returns:
        Columns group_a, group_b, edit_a, edit_b, file_a, file_b, iou.
    """
    first, second = np.triu_indices(len(samples), k=1)
    table = pd.DataFrame({"edit_a": first, "edit_b": second, "iou": iou(masks).cpu().numpy()[first, second]})
    for side, index in (("a", first), ("b", second)):
        table[f"group_{side}"] = samples["group"].to_numpy()[index]
        table[f"file_{side}"] = samples["file"].to_numpy()[index]
    return table[["group_a", "group_b", "edit_a", "edit_b", "file_a", "file_b", "iou"]]


def site_shares(masks: Mapping[str, Float[Tensor, "edits hidden"]], samples: pd.DataFrame) -> pd.DataFrame:
    """Mean share of each site's hidden units that the masks of a group select.

    Args:
        masks: Binary masks by the name of their site.
        samples: One row a mask, with columns subset and group.

    Returns:
        Columns subset, group, site, block (0-based), matrix ("fc1", "qkv", ...), share, masks (their number); a row a group and
        site.
    """
    rows = []
    for name, mask in masks.items():
        block, matrix = name.split(".")[1], name.split(".")[3]
        named = samples[["subset", "group"]].assign(site=name, block=int(block), matrix=matrix)
        rows.append(named.assign(share=mask.mean(1).cpu().numpy()))
    keys = ["subset", "group", "site", "block", "matrix"]
    grouped = pd.concat(rows).groupby(keys, sort=False)["share"]
    return grouped.agg(share="mean", masks="size").reset_index()
