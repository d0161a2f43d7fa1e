import pytest
import torch

from vitedit.errors import UnknownNameError
from vitedit.model.sites import Site, backbone_size, check_names, find_sites


def test_three_ffns_are_six_sites_in_forward_order(vit):
    names = [site.name for site in find_sites(vit, "mlp", [2, 0, 1])]
    assert names == [f"blocks.{b}.mlp.fc{i}.weight" for b in range(3) for i in (1, 2)]


def test_both_ffn_matrices_index_the_same_hidden_units(vit):
    fc1, fc2 = find_sites(vit, "mlp", [1])
    assert (fc1.axis, fc2.axis) == (0, 1)
    assert fc1.size(vit) == fc2.size(vit) == vit.blocks[1].mlp.fc1.out_features == 96


def test_attention_sites_are_rows_of_qkv_and_columns_of_proj(vit):
    qkv, proj = find_sites(vit, "attn", [3])
    assert qkv.size(vit) == 3 * vit.embed_dim and proj.size(vit) == vit.embed_dim


def test_a_row_mask_and_a_column_mask_keep_the_rest_of_the_matrix():
    mask, matrix = torch.tensor([1.0, 0.0]), torch.ones(2, 2)
    assert (Site("blocks.0.mlp.fc1.weight", 0).expand(mask) * matrix).tolist() == [[1, 1], [0, 0]]
    assert (Site("blocks.0.mlp.fc2.weight", 1).expand(mask) * matrix).tolist() == [[1, 0], [1, 0]]


def test_a_misspelt_site_is_refused_with_the_close_name(vit):
    with pytest.raises(UnknownNameError, match=r"fc1\.wieght.*Close names: blocks\.1\.mlp\.fc1\.weight"):
        check_names(vit, ["blocks.1.mlp.fc1.wieght"])


def test_a_block_that_does_not_exist_is_refused(vit):
    with pytest.raises(UnknownNameError, match=r"blocks\.7\.mlp"):
        find_sites(vit, "mlp", [7])


def test_a_matrix_outside_the_blocks_has_no_point():
    with pytest.raises(UnknownNameError, match="head.weight"):
        _ = Site("head.weight", 0).point


def test_the_papers_share_of_weights():
    """Three FFNs of ViT-B/16 are 16.499 % of 85,798,656 weights (paper section 4)."""
    import timm

    with torch.device("meta"):
        base = timm.create_model("vit_base_patch16_224")
    assert backbone_size(base) == 85_798_656
    edited = sum(base.get_parameter(site.name).numel() for site in find_sites(base, "mlp", [7, 8, 9]))
    assert edited == 14_155_776
