"""MEND: a network that turns the token-wise factors of a gradient into those of a better edit (Mitchell et al., ICLR 2022)."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitedit.config import MendTrainConfig
from vitedit.learned.network import EditNetwork, shapes
from vitedit.model.factors import Factors, token_factors
from vitedit.model.objectives import Labels
from vitedit.model.vit import Split, Weights

STD_FLOOR = 1e-7
"""Added to the running standard deviation (published code)."""


class Normaliser(nn.Module):
    """Running mean and standard deviation of each dimension; the identity until two rows have been seen."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.count: Tensor
        self.mean: Tensor
        self.squares: Tensor
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("squares", torch.zeros(width))

    @torch.no_grad()
    def observe(self, rows: Float[Tensor, "rows width"]) -> None:
        """Adds rows to the statistics (the parallel form of Welford's update)."""
        if not len(rows):
            return
        total = self.count + len(rows)
        mean = rows.mean(0)
        shift = mean - self.mean
        self.squares += (rows - mean).square().sum(0) + shift.square() * self.count * len(rows) / total
        self.mean += shift * len(rows) / total
        self.count.copy_(total)

    @property
    def std(self) -> Float[Tensor, "width"]:
        """Standard deviation (n - 1 in the denominator)."""
        known = self.count > 1
        return torch.where(known, (self.squares / (self.count - 1).clamp(min=1)).sqrt() + STD_FLOOR, 1.0)

    def forward(self, rows: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """(z - mean) / std."""
        return (rows - self.mean) / self.std


class ResidualLayer(nn.Module):
    """z + max(s_l (U V z + b) + o_l, 0), with an own scale s and shift o for every matrix l that shares the layer.

    V is drawn from N(0, 1) and the rest is zero (s: one), so that the layer starts as the identity.
    """

    def __init__(self, width: int, rank: int, matrices: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, width))
        self.up = nn.Parameter(torch.zeros(width, rank))
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(matrices, width))
        self.shift = nn.Parameter(torch.zeros(matrices, width))

    def forward(self, z: Float[Tensor, "rows width"], matrix: int) -> Float[Tensor, "rows width"]:
        """The layer for one of the matrices."""
        inner = z @ self.down.T @ self.up.T + self.bias
        moved = self.scale[matrix] * inner + self.shift[matrix]
        # not relu or clamp, whose gradient at 0 is 0: every entry is 0 at first, and the identity would never be left
        return z + torch.where(moved >= 0, moved, 0.0)


class Transform(nn.Module):
    """The network of all matrices of one shape: normalises [x; delta] and passes it through two residual layers."""

    def __init__(self, shape: Sequence[int], rank: int, matrices: int) -> None:
        super().__init__()
        rows, columns = shape
        self.columns = columns
        self.normaliser = Normaliser(rows + columns)
        self.layers = nn.ModuleList(ResidualLayer(rows + columns, rank, matrices) for _ in range(2))

    def forward(self, z: Float[Tensor, "rows width"], matrix: int) -> Float[Tensor, "rows width"]:
        """[x'; delta'] of one of the matrices; both stay normalised (published code)."""
        z = self.normaliser(z)
        for layer in self.layers:
            z = layer(z, matrix)
        return z


class MendNetwork(EditNetwork):
    """Pseudo-gradient of every matrix, times its learned step size alpha."""

    def __init__(self, matrices: Mapping[str, Sequence[int]], rank: int = 0, alpha: float = 1e-4) -> None:
        """A network with random weights for matrices {name: (rows, columns)}.

        Args:
            matrices: The edited matrices.
            rank: Of the residual layers; 0 takes half the width of [x; delta] (published: 1920 of 3840).
            alpha: First step size.
        """
        super().__init__(matrices, rank=rank, alpha=alpha)
        families: dict[tuple[int, ...], list[str]] = {}
        for name, shape in matrices.items():
            families.setdefault(tuple(shape), []).append(name)
        self.place = {
            name: (family, member)
            for family, names in enumerate(families.values())
            for member, name in enumerate(names)
        }
        self.transforms = nn.ModuleList(
            Transform(shape, rank or sum(shape) // 2, len(names)) for shape, names in families.items()
        )
        self.alphas = nn.Parameter(torch.full((len(matrices),), alpha))

    @classmethod
    def for_split(cls, split: Split, settings: MendTrainConfig) -> "MendNetwork":
        """A network with random weights for the matrices of a backbone."""
        return cls(shapes(split), settings.rank or 0, settings.alpha)

    def update(
        self, split: Split, tokens: Float[Tensor, "edits samples tokens width"], labels: Labels
    ) -> Weights:
        """alpha_l times the pseudo-gradient, mean over samples. In training mode the statistics see these samples."""
        pseudo = self.pseudo_gradients(token_factors(split, tokens, labels), tokens.shape[1])
        return {
            name: alpha * gradient
            for alpha, (name, gradient) in zip(self.alphas, pseudo.items(), strict=True)
        }

    def pseudo_gradients(self, factors: Mapping[str, Factors], samples: int = 1) -> Weights:
        """Sum over tokens of delta' x'^T divided by the number of samples, {name: (E, rows, columns)}.

        Tokens whose input or gradient is all zero are left out. With the first weights this is the sum of the normalised
        products, and with statistics of mean 0 and deviation 1 the gradient itself.
        """
        busy = {name: _busy(factor) for name, factor in factors.items()}
        pairs = {
            name: torch.cat([factor.inputs, factor.deltas], dim=-1)[busy[name]]
            for name, factor in factors.items()
        }
        if self.training:
            for name, rows in pairs.items():
                self._transform(name).normaliser.observe(rows)
        return {name: self._product(name, rows, busy[name]) / samples for name, rows in pairs.items()}

    def _transform(self, name: str) -> Transform:
        transform = self.transforms[self.place[name][0]]
        assert isinstance(transform, Transform)
        return transform

    def _product(
        self, name: str, rows: Float[Tensor, "rows width"], busy: Bool[Tensor, "edits tokens"]
    ) -> Float[Tensor, "edits rows2 columns"]:
        """Transformed rows of all edits, multiplied and summed edit by edit."""
        transform = self._transform(name)
        moved = transform(rows, self.place[name][1])
        whole = torch.zeros(*busy.shape, rows.shape[-1], device=rows.device).masked_scatter(
            busy[..., None], moved
        )
        inputs, deltas = whole.tensor_split([transform.columns], dim=-1)
        return deltas.mT @ inputs


def _busy(factor: Factors) -> Bool[Tensor, "edits tokens"]:
    """Tokens with an input and a gradient that are not all zero."""
    return (factor.inputs != 0).any(-1) & (factor.deltas != 0).any(-1)
