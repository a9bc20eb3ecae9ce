"""Pickles as data: numbers, texts, lists and dictionaries; everything else becomes an inert stand-in.

Python's own unpickler looks up, calls and fills whatever a file names. This one reads the same opcodes and does none of
that: a name stays a name, a call stays a note of it. So no list of harmless classes is needed, and none can be wrong.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from shared.errors import ModelError

#: Each opcode takes a microsecond or two; a network's state with that of its optimiser has tens of thousands.
MOST_OPCODES = 1_500_000
_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_SILENT = {"PROTO", "FRAME", "READONLY_BUFFER"}
#: Their calls make containers, which hold tensors and numbers like others.
_MAPPINGS = {"collections.OrderedDict", "collections.defaultdict", "builtins.dict", "collections.Counter"}
_SEQUENCES = {"torch.Size", "builtins.list", "builtins.tuple"}
_PYTHON_2 = {"__builtin__": "builtins"}


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the file names, by its dotted name. It is never looked up."""

    path: str


@dataclass(slots=True, eq=False)
class StandIn:
    """An object that is not built: what would have been called with which arguments, and what it would have held."""

    kind: str
    arguments: tuple[object, ...] = ()
    state: object = None
    #: What a class derived from dict would have held as one.
    items: dict[object, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Persistent:
    """A reference to something outside of the pickle, as torch writes its storages."""

    id: object


#: What a call of a name makes, where that is more than a stand-in.
Builder = Callable[[str, tuple[object, ...]], object]


def load(file: BinaryIO, build: Builder = StandIn) -> object:
    """The value of the pickle that begins here; the file then stands behind it. Raises ModelError if it is malformed.

    `build` makes what stands for the call of a name with its arguments.
    """
    try:
        return _Machine(build).run(file)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ModelError(f"its pickle is malformed: {error}") from error


@dataclass(slots=True)
class _Machine:
    build: Builder
    stack: list[object] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    def run(self, file: BinaryIO) -> object:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number > MOST_OPCODES:
                raise ModelError(f"its pickle has more than {MOST_OPCODES:,} steps")
            if opcode.name == "STOP":
                break
            self.step(opcode.name, argument)
        return self.stack.pop()

    def step(self, name: str, argument: object) -> None:  # noqa: PLR0912, PLR0915 -- one case for each kind of opcode
        stack = self.stack
        match name:
            case _ if name in _SILENT:
                pass
            case _ if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case "MARK":
                stack.append(_MARK)
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.marked()
            case "DUP":
                stack.append(stack[-1])
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_SET":  # without order, so of no use here: names of classes are in some order or none
                stack.append(self.build("builtins.set", ()))
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_DICT":
                stack.append({})
            case "LIST":
                stack.append(self.marked())
            case "FROZENSET":
                stack.append(self.build("builtins.frozenset", tuple(self.marked())))
            case "TUPLE":
                stack.append(tuple(self.marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "DICT":
                values = self.marked()
                stack.append({})
                self.put(values)
            case "APPEND" | "APPENDS" | "ADDITEMS":
                values = [stack.pop()] if name == "APPEND" else self.marked()
                if isinstance(stack[-1], list):  # the contents of an unknown object are of no use
                    stack[-1] += values
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self.put([key, value])
            case "SETITEMS":
                self.put(self.marked())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[cast(int, argument)] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[cast(int, argument)])
            case "PERSID":
                stack.append(Persistent(argument))
            case "BINPERSID":
                stack.append(Persistent(stack.pop()))
            case _ if name in _NAMING:
                self.name(name, argument)
            case _ if name in _CALLING:
                self.call(name, argument)
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], StandIn):
                    stack[-1].state = state
            case _ if argument is not None:
                stack.append(argument)  # a number, a text, bytes
            case _:
                raise ValueError(f"opcode {name}")

    def name(self, opcode: str, argument: object) -> None:
        if opcode == "GLOBAL":
            module, _, attribute = str(argument).partition(" ")
        elif opcode == "STACK_GLOBAL":
            attribute, module = str(self.stack.pop()), str(self.stack.pop())
        else:
            module, attribute = "extension", str(argument)
        self.stack.append(Name(f"{_PYTHON_2.get(module, module)}.{attribute}"))

    def call(self, opcode: str, argument: object) -> None:
        made: object
        if opcode == "INST":
            made, arguments = Name(str(argument).replace(" ", ".")), self.marked()
        elif opcode == "OBJ":
            made, *arguments = self.marked()
        else:
            if opcode == "NEWOBJ_EX":
                self.stack.pop()
            given = self.stack.pop()
            arguments = list(given) if isinstance(given, tuple) else []
            made = self.stack.pop()
        if isinstance(made, Persistent) and isinstance(made.id, tuple):  # a class, with its source beside it
            made = next((part for part in made.id if isinstance(part, Name)), made)
        kind = made.path if isinstance(made, Name) else "an unknown object"
        if kind in _MAPPINGS:
            self.stack.append({})
            pairs = arguments[-1] if arguments and isinstance(arguments[-1], list | tuple) else []
            self.put([part for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2 for part in pair])
        elif kind in _SEQUENCES:
            self.stack.append(list(arguments[0]) if arguments and isinstance(arguments[0], list | tuple) else [])
        else:
            self.stack.append(self.build(kind, tuple(arguments)))

    def put(self, pairs: list[object]) -> None:
        """Into the dictionary on top. Only plain keys: hashing a nest of tuples takes time without end."""
        top = self.stack[-1]
        mapping = top.items if isinstance(top, StandIn) else top
        if isinstance(mapping, dict):
            for key, value in zip(pairs[::2], pairs[1::2], strict=True):
                if key is None or isinstance(key, str | int | float | bytes):
                    mapping[key] = value

    def marked(self) -> list[object]:
        """What lies above the last mark, which goes with it."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values


_NAMING = {"GLOBAL", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}
_CALLING = {"REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ"}
