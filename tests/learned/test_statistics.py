import numpy as np
import pytest
import torch

from vitedit.errors import ArtifactError, ImageError, NumericalError
from vitedit.learned.statistics import Covariance, Memory, collect
from vitedit.model.last_block import LastBlock


@pytest.fixture
def last(split):
    return LastBlock.of(split)


@pytest.fixture
def collected(last, images):
    return collect(last, images.split(5))  # the last batch is smaller


def test_queries_and_second_moment_equal_numpy_over_all_images(last, images, collected):
    memory, covariance = collected
    seen = []
    hook = last.mlp.fc2.register_forward_hook(lambda _, given, made: seen.append(given[0][:, 0]))
    last.vit(images)
    hook.remove()
    keys = seen[0].numpy().astype(np.float64)
    np.testing.assert_allclose(
        covariance.second_moment.numpy(), np.einsum("ih,ij->hj", keys, keys) / 12, rtol=1e-4, atol=1e-6
    )
    assert covariance.count == 12 and covariance.second_moment.dtype == torch.float64
    torch.testing.assert_close(memory.queries, last.query(last.cls(images)), rtol=1e-4, atol=1e-5)


def test_a_solution_solves_the_ridged_system(collected):
    _, covariance = collected
    keys = torch.randn(3, 96, generator=torch.Generator().manual_seed(0))
    moment = covariance.second_moment.numpy()
    for ridge in (1e-2, 1.0, 1e-2):
        ridged = moment + ridge * np.trace(moment) / 96 * np.eye(96)
        expected = np.linalg.solve(ridged, keys.double().numpy().T).T
        np.testing.assert_allclose(covariance.solve(keys, ridge).numpy(), expected, rtol=1e-8, atol=1e-9)


def test_a_matrix_is_factorised_once_for_each_ridge(collected, monkeypatch):
    _, covariance = collected
    calls, plain = [], torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda matrix: calls.append(1) or plain(matrix))
    for ridge in (0.1, 0.1, 0.2, 0.1):
        covariance.solve(torch.ones(1, 96), ridge)
    assert len(calls) == 2


def test_a_matrix_that_cannot_be_inverted_is_an_error_that_says_what_to_do(collected):
    with pytest.raises(NumericalError, match="12 keys of size 96.*raise `ridge`"):
        collected[1].solve(torch.ones(1, 96), 1e-30)


def test_saved_and_loaded_they_are_the_same(tmp_path, split, collected):
    memory, covariance = collected
    meta = {"stage": "collect_statistics", "depends": {"statistics": {"max_images": 12}}}
    memory.save(tmp_path / "m", meta)
    covariance.save(tmp_path / "c", meta)
    assert torch.equal(Memory.load(tmp_path / "m", split, meta["depends"]).queries, memory.queries)
    loaded = Covariance.load(tmp_path / "c", split, meta["depends"])
    assert torch.equal(loaded.second_moment, covariance.second_moment) and loaded.count == 12
    for kind, name in ((Memory, "m"), (Covariance, "c")):
        with pytest.raises(ArtifactError, match="max_images: made with 12.*Run rule collect_statistics"):
            kind.load(tmp_path / name, split, {"statistics": {"max_images": 99}})


def test_those_of_another_backbone_are_refused(tmp_path, split):
    Memory(torch.zeros(3, 12)).save(tmp_path / "m", {})
    Covariance(torch.eye(48).double(), 3).save(tmp_path / "c", {})
    with pytest.raises(ArtifactError, match="T-Patcher's memory .*size 12.*asks for 24.*collect_statistics"):
        Memory.load(tmp_path / "m", split)
    with pytest.raises(ArtifactError, match="ROME's covariance .*size 48.*asks for 96.*collect_statistics"):
        Covariance.load(tmp_path / "c", split)
    with pytest.raises(ArtifactError, match="not ROME's covariance; it holds queries"):
        Covariance.load(tmp_path / "m", split)


def test_no_images_or_a_broken_model_are_errors(last, images):
    with pytest.raises(ImageError, match="statistics.images"):
        collect(last, [])
    with pytest.raises(NumericalError, match="not finite"):
        collect(last, [images * torch.inf])
