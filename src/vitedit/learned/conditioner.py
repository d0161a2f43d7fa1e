"""KE: conditioners that turn a gradient into an edit (KnowledgeEditor; De Cao et al., EMNLP 2021), for ViTs."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vitedit.config import KeTrainConfig
from vitedit.learned.network import EditNetwork, shapes
from vitedit.model.factors import recorded
from vitedit.model.objectives import cross_entropy
from vitedit.model.vit import Split, Weights


class Conditioner(nn.Module):
    """The edit of one matrix: max_scale sigmoid(eta) (gradient . a + b), which is subtracted, with rank-one a and b.

    a = rows softmax(row_a)^T col_a, b = softmax(row_b)^T col_b. The published code has no factor `rows` in a and adds the
    edit. Here the last layer starts with a = 1, b = 0 and eta = 0, whatever the condition: the first edit is one plain
    gradient step of size max_scale / 2, and negative entries of a turn the step round where that serves the edit.
    """

    def __init__(self, shape: Sequence[int], condition: int, hidden: int, max_scale: float) -> None:
        super().__init__()
        self.rows, self.columns = shape
        self.max_scale = max_scale
        first, last = nn.Linear(condition, hidden), nn.Linear(hidden, 2 * (self.rows + self.columns) + 1)
        with torch.no_grad():
            last.bias.zero_()
            last.bias[: self.columns] = 1.0
        self.layers = nn.Sequential(weight_norm(first), nn.Tanh(), weight_norm(last))
        norms = self.get_parameter("layers.2.parametrizations.weight.original0")
        nn.init.zeros_(norms)  # of weight normalisation: at first the output is the bias

    def forward(
        self, condition: Float[Tensor, "edits condition"], gradient: Float[Tensor, "edits rows columns"]
    ) -> Float[Tensor, "edits rows columns"]:
        """What is to be subtracted from the matrix."""
        sizes = [self.columns, self.rows, self.columns, self.rows, 1]
        col_a, row_a, col_b, row_b, eta = self.layers(condition).split(sizes, dim=-1)
        a = self.rows * row_a.softmax(-1)[:, :, None] * col_a[:, None, :]
        b = row_b.softmax(-1)[:, :, None] * col_b[:, None, :]
        return self.max_scale * eta.sigmoid()[:, :, None] * (gradient * a + b)


class KeNetwork(EditNetwork):
    """A condition h for the edit, and a conditioner for every matrix.

    h = tanh(Linear([CLS token of x after the final norm; head row of the predicted class; head row of the label])), in place
    of the published recurrent encoder of "prediction >> target || input".
    """

    def __init__(
        self,
        matrices: Mapping[str, Sequence[int]],
        width: int,
        condition: int = 1024,
        hidden: int = 128,
        max_scale: float = 1.0,
    ) -> None:
        super().__init__(matrices, width=width, condition=condition, hidden=hidden, max_scale=max_scale)
        self.encoder = nn.Linear(3 * width, condition)
        self.conditioners = nn.ModuleList(
            Conditioner(shape, condition, hidden, max_scale) for shape in matrices.values()
        )

    @classmethod
    def for_split(cls, split: Split, settings: KeTrainConfig) -> "KeNetwork":
        """A network with random weights for the matrices of a backbone."""
        return cls(
            shapes(split), split.vit.embed_dim, settings.condition, settings.hidden, settings.max_scale
        )

    def update(
        self,
        split: Split,
        tokens: Float[Tensor, "edits samples tokens width"],
        labels: Int[Tensor, "edits"],
        weights: Weights | None = None,
    ) -> Weights:
        """The edits, from gradients and predictions of the base model, or of edited ones with `weights` {name: (E, *shape)}.

        Several samples of an edit count by the mean of their gradients and of their features; x is encoded by the base model.
        """
        with torch.no_grad():
            gradients, predicted = _gradients(split, tokens, labels, weights)
            head = split.vit.get_parameter("head.weight")
            features = [_features(split, tokens).mean(1), head[predicted].mean(1), head[labels]]
        condition = self.encoder(torch.cat(features, dim=-1)).tanh()
        return {
            name: conditioner(condition, gradients[name])
            for name, conditioner in zip(self.matrices, self.conditioners, strict=True)
        }


def _gradients(
    split: Split, tokens: Tensor, labels: Tensor, weights: Weights | None
) -> tuple[Weights, Int[Tensor, "edits samples"]]:
    """Gradients of each edit's mean cross-entropy, {name: (E, rows, columns)}, and the predicted classes."""
    start = weights or {
        name: weight.expand(len(labels), *weight.shape) for name, weight in split.weights.items()
    }
    values = {name: value.detach().requires_grad_() for name, value in start.items()}
    with torch.enable_grad():
        logits = split.call(values, tokens)
        gradients = torch.autograd.grad(cross_entropy(logits, labels).sum(), list(values.values()))
    return dict(zip(values, gradients, strict=True)), logits.argmax(-1)


def _features(split: Split, tokens: Tensor) -> Float[Tensor, "edits samples width"]:
    """CLS token of every sample after the final norm of the base model."""
    with recorded(split.vit, ["norm"]) as seen:
        split.suffix(tokens.flatten(0, 1))
    return seen["norm"][1][:, 0].unflatten(0, tokens.shape[:2])
