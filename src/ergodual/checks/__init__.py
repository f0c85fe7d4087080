"""Checks of operators and functions that users write."""

from ergodual.checks.function import check_function
from ergodual.checks.operator import check_operator

__all__ = ["check_function", "check_operator"]
