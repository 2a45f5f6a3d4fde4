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
from dataclasses import dataclass
from math import prod
from typing import Any

from churn.errors import ArtifactError

#: The first bytes of what people hand in by mistake, and what it is.
NOT_PICKLES = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip-compressed",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"{": "JSON or text",
    b"\x78\x9c": "zlib-compressed, as joblib writes it",
    b"version https://git-lfs": "a Git LFS pointer; run: git lfs pull",
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
_COLLECTIONS = {"TUPLE": tuple, "LIST": list, "FROZENSET": frozenset}

_MARK = object()


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
        raise ArtifactError("it is empty (0 bytes)")
    for start, what in NOT_PICKLES.items():
        if content.startswith(start):
            raise ArtifactError(f"it is {what}, not a pickle")
    machine = _Machine()
    try:
        for opcode, argument, _position in pickletools.genops(content):
            machine.step(opcode.name, argument)
        return machine.stack.pop(), machine.names
    except ArtifactError:
        raise
    except Exception as error:  # foreign bytes: whatever trips over them, they are not a model
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ArtifactError(f"it is not a whole pickle ({why})") from error


class _Machine:
    """The pickle machine: a stack, marks on it, a memo. It calls and imports nothing."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.names: set[str] = set()

    def step(self, opcode: str, argument: Any) -> None:
        """Do one operation."""
        stack = self.stack
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                stack.append(_MARK)
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
            case "TUPLE" | "LIST" | "FROZENSET":
                stack.append(_COLLECTIONS[opcode](self._to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "DICT":
                stack.append(_pairs(self._to_mark()))
            case "APPEND":
                self._fill([stack.pop()])
            case "APPENDS" | "ADDITEMS":
                self._fill(self._to_mark())
            case "SETITEM":
                self._fill(_pairs([stack.pop(-2), stack.pop()]))
            case "SETITEMS":
                self._fill(_pairs(self._to_mark()))
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
                raise ArtifactError(f"it uses {opcode}, which no model needs")

    def _to_mark(self) -> list[Any]:
        at = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _fill(self, items: list[Any] | dict[Any, Any]) -> None:
        match self.stack[-1]:
            case list() as found:
                found.extend(items)
            case dict() | set() as found:
                found.update(items)
            case Node():  # an OrderedDict or a deque, say, which no scorecard needs: left unread
                pass
            case _:
                raise ArtifactError("it puts items into something that holds none")

    def _global(self, module: str, name: str) -> None:
        self.names.add(f"{module}.{name}")
        self.stack.append(Global(f"{module}.{name}"))

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
    return dict(zip(items[::2], items[1::2], strict=True))


def numbers(array: Any) -> list[float]:
    """Return the numbers of an array (or of a list of numbers), in row order.

    :raises ArtifactError: it is not an array of numbers.
    """
    if isinstance(array, list | tuple):
        return [float(number) for number in array]
    letter, order, count, raw = _array(array)
    if letter not in _NUMBERS or not isinstance(raw, bytes):
        raise ArtifactError(f"an array holds {letter!r} where numbers belong")
    layout = f"{'>' if order == '>' else '<'}{count}{_NUMBERS[letter]}"
    if struct.calcsize(layout) != len(raw):
        raise ArtifactError("an array's size and its bytes disagree")
    return list(map(float, struct.unpack(layout, raw)))


def labels(array: Any) -> list[Any]:
    """Return the texts (or else the numbers) of an array: what ``classes_`` holds."""
    if isinstance(array, list | tuple):
        return list(array)
    letter, order, count, raw = _array(array)
    if letter.startswith("O"):
        return list(raw)
    if not letter.startswith("U"):
        return numbers(array)
    size = 4 * int(letter[1:])
    if len(raw) != count * size:
        raise ArtifactError("an array's size and its bytes disagree")
    encoding = "utf-32-be" if order == ">" else "utf-32-le"
    texts = (raw[at : at + size] for at in range(0, len(raw), size))
    return [text.decode(encoding, "replace").rstrip("\0") for text in texts]


def _array(found: Any) -> tuple[str, str, int, Any]:
    """Return an array's type code, byte order, size, and its bytes (or its list of objects)."""
    node = _node(found)
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
            raw = raw.args[0].encode(raw.args[1])
        if isinstance(raw, bytearray):
            raw = bytes(raw)
        return dtype.args[0], dtype.state[1], prod(dims), raw
    except (AttributeError, IndexError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(f"an array can't be read ({error})") from error
