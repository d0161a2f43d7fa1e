"""The undisturbed run that all trials start from and are compared with."""

import pytest
from chain import Chain


@pytest.fixture(scope="session")
def finished(tmp_path_factory, vit):
    """The chain after an undisturbed run, and its jobs."""
    chain = Chain.make(tmp_path_factory.mktemp("faults") / "reference", vit)
    done = chain.run()
    assert done.code == 0, done.text
    return chain, chain.jobs()
