"""The field's problems, small ones, to a certificate, and to the objective that CVXPY finds."""

import pytest

from benchmarks.zoo import ZOO, compared

cvxpy = pytest.importorskip("cvxpy")


@pytest.mark.filterwarnings("ignore")  # of its own
@pytest.mark.parametrize("name", ZOO)
def test_zoo(name: str) -> None:
    found = compared(ZOO[name](8))
    assert found["converged"]
    assert abs(found["off"]) <= 1e-5
    assert found["violated"] <= 1e-6
