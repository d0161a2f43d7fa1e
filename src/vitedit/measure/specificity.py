"""Whether masks depend on the error: overlap within and between groups (paper Fig. 6)."""

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
