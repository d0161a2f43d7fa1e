"""Pickles, read without running anything in them: a machine of plain values, and of what its caller allows by name.

Python's unpickler calls what a file names and reserves the memory that a file asks for. This one knows only the
instructions that arrays and weights need, and makes nothing larger than the file.
"""

import pickletools
from collections.abc import Callable
from io import BytesIO
from pickle import UnpicklingError
from typing import Any

MOST_STEPS = 300_000
"""Instructions of one pickle. A large ViT with the state of its optimiser takes about 50,000."""
MOST_DEPTH = 50
"""Tuples within tuples. Python compares and hashes them by recursion in C, which has no floor."""
MOST_PARTS = 100_000
"""Values in a tuple and the tuples in it. A few bytes that repeat tuples make more than any memory holds."""

CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": set,
}
NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"}
BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

Named = Callable[[str], Callable[..., Any]]
"""From a name such as `numpy.dtype` to what makes it here; raises UnpicklingError for a name that is refused."""


def _nothing_stored(key: Any) -> Any:
    raise UnpicklingError("refers to something that is stored elsewhere")


def read_pickle(stream: BytesIO, named: Named, stored: Callable[[Any], Any] = _nothing_stored) -> Any:
    """The value of one pickle; the stream then stands behind it.

    Args:
        stream: In memory, so that a length in it that is far too large reserves nothing.
        named: What stands for the names in the pickle. What it makes may have a method `build` that takes a state.
        stored: What stands for values stored elsewhere, by their key.

    Raises:
        UnpicklingError: A name or an instruction that is refused, or more of either than any honest file has.
        Exception: Any other, where the pickle is damaged.
    """
    machine = _Machine(named, stored)
    for step, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        if step >= MOST_STEPS:
            raise UnpicklingError(f"has more than {MOST_STEPS:,} instructions")
        machine.step(instruction.name, argument)
    return machine.stack[-1]


class _Tuple(tuple[Any, ...]):
    """A tuple that knows how much there is in it."""

    depth: int
    parts: int


def _tuple(values: list[Any]) -> _Tuple:
    made, inner = _Tuple(values), [value for value in values if isinstance(value, _Tuple)]
    made.depth = 1 + max((one.depth for one in inner), default=0)
    made.parts = len(values) + sum(one.parts for one in inner)
    if made.depth > MOST_DEPTH or made.parts > MOST_PARTS:
        raise UnpicklingError("holds tuples within tuples that grow without end")
    return made


class _Machine:
    """The stack that a pickle's instructions work on; those between a mark and its use lie on a stack of their own."""

    def __init__(self, named: Named, stored: Callable[[Any], Any]) -> None:
        self._named, self._stored = named, stored
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carries out one instruction."""
        if name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name in NUMBERS | TEXTS | BYTES:
            self.stack.append(argument)
        elif name in TUPLES:
            start = len(self.stack) - TUPLES[name]
            self.stack[start:] = [_tuple(self.stack[start:])]
        elif not (self._fill(name) or self._remember(name, argument) or self._make(name, argument)):
            raise UnpicklingError(f"has the instruction {name}, which no array and no weights need")

    def _fill(self, name: str) -> bool:
        """Instructions that put values into others."""
        match name:
            case "MARK":
                self._below.append(self.stack)
                self.stack = []
            case "TUPLE":
                values = self._above_mark()
                self.stack.append(_tuple(values))
            case "APPEND":
                value = self.stack.pop()
                self.stack[-1].append(value)
            case "APPENDS":
                values = self._above_mark()
                self.stack[-1].extend(values)
            case "SETITEM":
                key, value = self.stack.pop(-2), self.stack.pop()
                self.stack[-1][key] = value
            case "SETITEMS":
                values = self._above_mark()
                for key, value in zip(values[::2], values[1::2], strict=True):
                    self.stack[-1][key] = value
            case _:
                return False
        return True

    def _remember(self, name: str, argument: Any) -> bool:
        """Instructions that keep a value for later, and those that change nothing."""
        match name:
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self._memo[argument])
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _:
                return False
        return True

    def _make(self, name: str, argument: Any) -> bool:
        """Instructions that name something, or make something of what was named."""
        match name:
            case "GLOBAL":
                self.stack.append(self._named(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                module, inner = self.stack.pop(-2), self.stack.pop()
                self.stack.append(self._named(f"{module}.{inner}"))
            case "REDUCE" | "NEWOBJ":
                maker, arguments = self.stack.pop(-2), self.stack.pop()
                self.stack.append(maker(*arguments))
            case "BUILD":
                state = self.stack.pop()
                self.stack[-1].build(state)
            case "BINPERSID":
                self.stack.append(self._stored(self.stack.pop()))
            case _:
                return False
        return True

    def _above_mark(self) -> list[Any]:
        values, self.stack = self.stack, self._below.pop()
        return values
