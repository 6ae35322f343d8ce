from __future__ import annotations

import pytest

from linksim.traces import Trace
from tests.replay.synthetic import write_trace


@pytest.fixture(scope="session")
def synthetic_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return write_trace(tmp_path_factory.mktemp("synthetic") / "trace")
