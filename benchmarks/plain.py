"""The yardstick: the published procedure as plainly as it can be written. One edit at a time, whole network, whole matrices.

It is what the published code does, not a straw man: only where that code itself stops early (the inner loop of meta-training
ends its backward pass at the edited blocks), so does this.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from vitedit.config import MaskSearchConfig
from vitedit.learned.statistics import Covariance, Memory
from vitedit.model.last_block import LastBlock
from vitedit.model.objectives import kl_divergence
from vitedit.model.sites import Site

Weights = dict[str, Tensor]


def edit(
    vit: nn.Module, names: list[str], image: Tensor, label: Tensor, masks: Weights, steps: int
) -> Weights:
    """Masked fine-tuning by torch's RMSprop; every parameter is differentiated, the edited ones' gradients are masked."""
    weights = {name: tensor.detach().clone().requires_grad_() for name, tensor in vit.named_parameters()}
    optimiser = torch.optim.RMSprop([weights[name] for name in names], lr=1e-4)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(functional_call(vit, weights, (image[None],)), label[None]).backward()
        for name in names:
            weights[name].grad *= masks[name]
        optimiser.step()
    return {name: weights[name].detach() for name in names}


@torch.no_grad()
def locality(vit: nn.Module, edited: Weights, images: Tensor) -> float:
    """Share of predictions kept: the images pass the unedited and the edited network, as for every edit in the published code."""
    before = vit(images).argmax(-1)
    return (functional_call(vit, edited, (images,)).argmax(-1) == before).float().mean().item()


def search(
    vit: nn.Module,
    sites: tuple[Site, ...],
    image: Tensor,
    teacher: Tensor,
    start: Tensor,
    settings: MaskSearchConfig,
) -> Tensor:
    """Mask logits of one pseudo-sample: each gradient takes the whole network, backwards as far as the sites."""
    base = {site.name: vit.get_parameter(site.name) for site in sites}
    sizes = [site.size(vit) for site in sites]
    logits, square = start.clone(), torch.zeros_like(start)

    def apply(free: Tensor, delta: Weights) -> Weights:
        parts = (10 * free).sigmoid().split(sizes)
        return {
            s.name: base[s.name] + s.expand(part) * delta[s.name]
            for s, part in zip(sites, parts, strict=True)
        }

    def divergence(weights: Weights) -> Tensor:
        return kl_divergence(
            teacher[None], functional_call(vit, weights, (image[None],)), settings.temperature
        )

    for _ in range(settings.search_steps):
        delta = {name: torch.zeros_like(weight) for name, weight in base.items()}
        for _ in range(settings.inner_steps):
            weights = {name: w.detach().requires_grad_() for name, w in apply(logits, delta).items()}
            made = torch.autograd.grad(divergence(weights), list(weights.values()))
            for (name, step), gradient in zip(delta.items(), made, strict=True):
                delta[name] = step - settings.inner_learning_rate * gradient
        free = logits.detach().requires_grad_()
        loss = divergence(apply(free, delta)) + settings.sparsity_weight * (10 * free).sigmoid().mean()
        (gradient,) = torch.autograd.grad(loss, free)
        square = 0.99 * square + 0.01 * gradient.square()
        logits = logits - settings.search_learning_rate * gradient / (square.sqrt() + 1e-8)
    return logits


def t_patcher(last: LastBlock, image: Tensor, label: Tensor, memory: Memory, steps: int) -> Weights:
    """A new neuron in the last FFN, each step through the whole network."""
    vit, width, queries = last.vit, last.vit.embed_dim, memory.queries
    names = [last.name(part) for part in ("fc1.weight", "fc1.bias", "fc2.weight")]
    fc1, bias, fc2 = (vit.get_parameter(name) for name in names)
    query = last.query(last.cls(image[None]))[0]
    key = (query / query.square().sum()).requires_grad_()
    offset, value = (torch.zeros(1, device=fc1.device), torch.randn(width, 1, device=fc1.device))
    for new in (offset, value):
        new.requires_grad_()
    optimiser = torch.optim.Adam([key, offset, value], lr=1e-2)
    changed: Weights = {}
    for _ in range(steps):
        changed = {
            names[0]: torch.cat([fc1, key[None]]),
            names[1]: torch.cat([bias, offset]),
            names[2]: torch.cat([fc2, value], 1),
        }
        loss = F.cross_entropy(functional_call(vit, changed, (image[None],)), label[None])
        outside = (queries @ key + offset).topk(len(queries) // 40).values
        inside = query @ key + offset
        loss = (
            loss + (-inside).exp().mean() + (outside - inside + 3).exp().mean() + (outside + 3).exp().mean()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return {name: tensor.detach() for name, tensor in changed.items()}


def rome(last: LastBlock, image: Tensor, label: Tensor, covariance: Covariance, steps: int) -> Tensor:
    """A rank-one edit of the last fc2, each step of its descent through the whole network, its system solved anew."""
    vit, name = last.vit, last.name("fc2.bias")
    bias = vit.get_parameter(name)
    delta = torch.zeros_like(bias).requires_grad_()
    optimiser = torch.optim.Adam([delta], lr=0.5)
    for _ in range(steps):
        logits = functional_call(vit, {name: bias + delta}, (image[None],))
        loss = F.cross_entropy(logits, label[None]) + 0.5 * (delta + 1e-9).norm()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    key = last.key(last.query(last.cls(image[None])))[0].double().cpu()
    system = (
        covariance.second_moment
        + 1e-4 * covariance.second_moment.diagonal().mean() * torch.eye(len(key)).double()
    )
    row = torch.linalg.solve(system, key)
    return vit.get_parameter(last.name("fc2.weight")) + delta.detach()[:, None] * (row / (row @ key)).to(bias)
