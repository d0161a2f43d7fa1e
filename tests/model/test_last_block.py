import pytest
import torch
from lively import lively
from timm.layers.mlp import GluMlp

from vitedit.errors import ConfigError
from vitedit.model.last_block import LastBlock
from vitedit.model.sites import find_sites
from vitedit.model.vit import Split

VARIANTS = {
    "plain": {},
    "layer scale": {"init_values": 0.5},
    "norm in the FFN": {"scale_mlp_norm": True},
    "register tokens": {"reg_tokens": 2},
    "norm before and after": {"pre_norm": True, "fc_norm": True},
}


@pytest.fixture(params=VARIANTS)
def last(request):
    vit = lively(**VARIANTS[request.param])
    return LastBlock.of(Split(vit, find_sites(vit, "attn", [0])))


def test_the_read_out_of_the_cls_token_equals_the_whole_model(last, images):
    cached = last.cache(last.cls(images))
    torch.testing.assert_close(
        last.read_out(cached[None], torch.zeros(1, 1, 24))[0], last.vit(images), rtol=1e-4, atol=1e-5
    )


def test_queries_keys_and_outputs_are_what_the_whole_model_sees(last, images):
    seen, block = {}, last.vit.blocks[-1]
    hooks = [
        module.register_forward_hook(lambda _, given, made, name=name: seen.update({name: (given[0], made)}))
        for name, module in {"norm2": block.norm2, "fc1": block.mlp.fc1, "fc2": block.mlp.fc2}.items()
    ]
    last.vit(images)
    for hook in hooks:
        hook.remove()
    cls = last.cls(images)
    query = last.query(cls)
    expected = {
        "u": (cls[:, 0], seen["norm2"][0]),
        "q": (query, seen["fc1"][0]),
        "k": (last.key(query), seen["fc2"][0]),
        "output": (last.cache(cls)[:, 2], seen["fc2"][1]),
    }
    for name, (mine, whole) in expected.items():
        torch.testing.assert_close(mine, whole[:, 0], rtol=1e-4, atol=1e-5, msg=name)
    assert last.hidden == 96 and torch.equal(last.cache(cls)[:, 1], query)


def test_what_is_added_acts_like_a_bias_of_the_second_matrix(last, images):
    added = torch.randn(24, generator=torch.Generator().manual_seed(2))
    logits = last.read_out(last.cache(last.cls(images))[None], added[None, None])[0]
    whole = torch.func.functional_call(
        last.vit, {last.name("fc2.bias"): last.mlp.fc2.bias + added}, (images,)
    )
    torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole, last.vit(images), atol=1e-2)


def test_samples_of_many_edits_are_those_of_each(last, images):
    many = last.cls_samples(images.unflatten(0, (4, 3)))
    assert torch.equal(many.flatten(0, 1), last.cls(images))


def test_a_head_that_reads_all_tokens_is_refused():
    vit = lively(global_pool="avg")
    with pytest.raises(ConfigError, match="pools tokens by 'avg'.*CLS"):
        LastBlock.of(Split(vit, find_sites(vit, "mlp", [0])))


@pytest.mark.parametrize("change", [{"mlp_layer": GluMlp}, {"proj_bias": False}])
def test_an_ffn_of_another_kind_is_refused(change):
    vit = lively(**change)
    with pytest.raises(ConfigError, match="plain Mlp with biases"):
        LastBlock.of(Split(vit, find_sites(vit, "mlp", [0])))
