"""Read a pickle without running it.

A pickle is a program, and ``pickle.load`` runs it: it imports what the file names and calls what
the file wants called. :func:`read` runs nothing. It follows the pickle's stack machine and builds
:class:`Node` objects that only say *what would have been called, with what, and which state it
would have been given*. So scikit-learn need not be installed, its version does not matter, and a
hostile file is only a strange tree of names.

The opcodes are those that Python 3 writes in any protocol, 0 to 5; the standard library's
``pickletools`` splits the bytes into them. :func:`numbers` and :func:`strings` read the NumPy
arrays in such a tree from their bytes, without NumPy.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from churn.errors import ArtifactError, reason

#: The first bytes of what people hand in by mistake, and what it is.
NOT_PICKLES = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip-compressed",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"{": "JSON or text",
    b"\x78\x9c": "zlib-compressed, as joblib writes it",
    b"version https://git-lfs": "a Git LFS pointer (git lfs pull fetches the file)",
}

#: Bytes per number and its ``struct`` letter, by NumPy's type code.
_NUMBERS = {
    "f8": "d", "f4": "f", "i8": "q", "i4": "i", "i2": "h", "i1": "b",
    "u8": "Q", "u4": "I", "u2": "H", "u1": "B", "b1": "?",
}  # fmt: skip

#: The operations that only push a number, a text or bytes.
_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip

#: The operations that make a collection of all that lies above the last mark.
_COLLECTIONS = {"TUPLE": tuple, "LIST": list}

#: What may be a key, or in a set. Hashing another thing means walking it, and a hostile one can be
#: too deep or too wide to walk.
_KEYS = (str, bytes, int, float, type(None))

#: Longest name of a class or function, in characters; scikit-learn's longest has 77.
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Global:
    """A class or function the file names, as ``module.name``."""

    name: str


@dataclass(eq=False)
class Node:
    """An object the file would have made: ``name(*args)``, then given ``state``."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None

    @property
    def kind(self) -> str:
        """The class's own name, whichever module it lived in at the time."""
        return self.name.rpartition(".")[2]

    def __getitem__(self, attribute: str) -> Any:
        """Return an attribute of the object.

        :raises ArtifactError: it has none of that name.
        """
        if not isinstance(self.state, dict) or attribute not in self.state:
            raise ArtifactError(f"its {self.kind} has no {attribute!r}: was it fitted?")
        return self.state[attribute]

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute of the object, or ``default``."""
        return self.state.get(attribute, default) if isinstance(self.state, dict) else default


def read(content: bytes) -> tuple[Any, set[str]]:
    """Return what a pickle holds, made of inert nodes, and every name it asks for.

    :raises ArtifactError: these bytes are not a whole pickle.
    """
    if not content:
        raise ArtifactError("it is empty (0 bytes): copy it again, or train again")
    for start, what in NOT_PICKLES.items():
        if content.startswith(start):
            raise ArtifactError(f"it is {what}, not the pickle that train.py or pickle.dump writes")
    machine = _Machine()
    try:
        for opcode, argument, _position in pickletools.genops(content):
            machine.step(opcode.name, argument)
        return machine.stack.pop(), machine.names
    except ArtifactError:
        raise
    except Exception as error:  # foreign bytes: whatever trips over them, they are not a model
        if any(name.startswith("joblib.") for name in machine.names):
            raise ArtifactError("joblib.dump wrote it; write the pair with pickle.dump") from error
        raise ArtifactError(
            f"it is not a whole pickle ({reason(error)}): copy it again, or train again"
        ) from error


class _Machine:
    """The pickle machine: a stack, those below its marks, a memo. It calls and imports nothing."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.names: set[str] = set()

    def step(self, opcode: str, argument: Any) -> None:
        """Do one operation."""
        stack = self.stack
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                self.below.append(stack)
                self.stack = []
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode == "NEWTRUE")
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_SET":
                stack.append(set())
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._to_mark()
            case "DUP":
                stack.append(stack[-1])
            case "TUPLE" | "LIST":
                made = _COLLECTIONS[opcode](self._to_mark())
                self.stack.append(made)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "FROZENSET":
                elements = frozenset(map(_key, self._to_mark()))
                self.stack.append(elements)
            case "DICT":
                pairs = _pairs(self._to_mark())
                self.stack.append(pairs)
            case "APPEND":
                self._fill(list, [stack.pop()])
            case "APPENDS":
                self._fill(list, self._to_mark())
            case "ADDITEMS":
                self._fill(set, map(_key, self._to_mark()))
            case "SETITEM":
                self._fill(dict, _pairs([stack.pop(-2), stack.pop()]))
            case "SETITEMS":
                self._fill(dict, _pairs(self._to_mark()))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                self._global(*argument.split(" ", 1))
            case "STACK_GLOBAL":
                name = stack.pop()
                self._global(stack.pop(), name)
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                self._make(stack.pop(), arguments)
            case "NEWOBJ_EX":
                stack.pop()
                arguments = stack.pop()
                self._make(stack.pop(), arguments)
            case "BUILD":
                state = stack.pop()
                _node(stack[-1]).state = state
            case _ if opcode in _LITERALS:
                stack.append(argument)
            case _:
                raise ArtifactError(
                    f"it uses {opcode}, which no model needs: don't load this file anywhere"
                )

    def _to_mark(self) -> list[Any]:
        """Return all above the last mark; what lay below it is the stack again."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def _fill(self, wanted: type, items: Iterable[Any]) -> None:
        match self.stack[-1]:
            case Node():  # an OrderedDict or a deque, say, which no scorecard needs: left unread
                pass
            case list() as found if wanted is list:
                found.extend(items)
            case dict() as found if wanted is dict:
                found.update(items)
            case set() as found if wanted is set:
                found.update(items)
            case _:
                raise ArtifactError("it puts items into something that holds none")

    def _global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ArtifactError("it calls something that is not a name")
        full = f"{module}.{name}"
        if len(full) > _LONGEST_NAME or not all(map(str.isidentifier, full.split("."))):
            raise ArtifactError(
                "it is no pickle, or a forged one: it asks for a name that nothing can have"
            )
        self.names.add(full)
        self.stack.append(Global(full))

    def _make(self, made_by: Any, arguments: Any) -> None:
        if not isinstance(made_by, Global) or not isinstance(arguments, tuple):
            raise ArtifactError("it calls something that is not a name")
        name = made_by.name
        if name in ("copyreg._reconstructor", "copy_reg._reconstructor"):
            name, arguments = arguments[0].name, ()
        self.stack.append(Node(name, arguments))


def _node(found: Any) -> Node:
    if not isinstance(found, Node):
        raise ArtifactError("it gives a state to something that is not an object")
    return found


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(map(_key, items[::2]), items[1::2], strict=True))


def _key(found: Any) -> Any:
    """Return what stands for ``found`` as a key."""
    return found if isinstance(found, _KEYS) else Node("key", (found,))


def numbers(array: Any) -> list[float]:
    """Return the numbers of an array, a list or a single number, in row order.

    :raises ArtifactError: it is not an array of numbers.
    """
    if isinstance(array, int | float):
        return [float(array)]
    if isinstance(array, list | tuple):
        return [_number(each) for each in array]
    letter, order, count, raw = _array(array)
    if letter not in _NUMBERS or not isinstance(raw, bytes):
        raise ArtifactError("an array holds other things where numbers belong")
    layout = f"{'>' if order == '>' else '<'}{count}{_NUMBERS[letter]}"
    if struct.calcsize(layout) != len(raw):
        raise ArtifactError("an array's size and its bytes disagree")
    return list(map(float, struct.unpack(layout, raw)))


def _number(found: Any) -> float:
    """Return a number as Python has it, or as NumPy does."""
    if isinstance(found, Node) and found.kind == "scalar":
        return numbers(found)[0]
    return float(found)


def labels(array: Any) -> list[Any]:
    """Return the texts, numbers or truth values of an array: what ``classes_`` holds."""
    letter, order, count, raw = _array(array)
    if letter.startswith("O"):
        return list(raw)
    if not letter.startswith("U"):
        python = {"b1": bool, "f4": float, "f8": float}.get(letter, int)
        return list(map(python, numbers(array)))
    size = 4 * int(letter[1:])
    if len(raw) != count * size:
        raise ArtifactError("an array's size and its bytes disagree")
    encoding = "utf-32-be" if order == ">" else "utf-32-le"
    texts = (raw[at : at + size] for at in range(0, len(raw), size))
    return [text.decode(encoding, "replace").rstrip("\0") for text in texts]


def _array(found: Any) -> tuple[str, str, int, Any]:
    """Return an array's type code, byte order, size, and its bytes (or its list of objects)."""
    if not isinstance(found, Node):
        raise ArtifactError(f"there is {type(found).__name__} where an array belongs")
    node = found
    try:
        if node.kind == "_reconstruct":  # protocols 0 to 4, and NumPy's own way
            _version, dims, dtype, _fortran, raw = node.state
        elif node.kind == "_frombuffer":  # protocol 5
            raw, dtype, dims, _order = node.args
        elif node.kind == "scalar":
            dims, (dtype, raw) = (), node.args
        else:
            raise ArtifactError(f"there is {node.kind} where an array belongs")
        if isinstance(raw, Node) and raw.kind == "encode":  # bytes, as protocols 0 to 2 spell them
            raw = raw.args[0].encode("latin-1")
        if isinstance(raw, bytearray):
            raw = bytes(raw)
        letter, order = dtype.args[0], dtype.state[1]
        if not isinstance(letter, str) or not all(isinstance(size, int) for size in dims):
            raise TypeError("its type or shape is none")
        return letter, order, prod(dims), raw
    except (AttributeError, IndexError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(f"an array can't be read ({reason(error)})") from error
