"""How much memory a machine holds: everything that can be reached from it, whatever its fields are called."""

import gc
import sys
from collections.abc import Iterable
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, Enum)
"""Belong to the program, not to the machine."""


def footprint_bytes(machine: object, *, without: Iterable[object] = ()) -> int:
    """Bytes of all objects that can be reached from `machine`, each counted once; what hangs on `without` is left out."""
    seen = {id(one) for one in without}
    waiting: list[Any] = [machine]
    total = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _SHARED):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        waiting.extend(gc.get_referents(each))
    return total
