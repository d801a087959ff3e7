"""The alphabet: one integer means one thing everywhere.

A token id is a row of the library, an action of the environment, a column of the Q table and an edge of the search
tree. Bands, for D variables and P primitives (all primitives have a row, whether or not the search may use them)::

    0 .. D-1         variables: the id is the column of X
    D                the fitted constant
    D+1 .. D+3       literals 1, 2, pi
    D+4 .. D+3+P     primitives, in the order of rsrm.primitives.PRIMITIVES
    D+4+P .. K-1     slots for promoted operators, masked until filled

Negative ids never are actions: PAD fills arrays, PARAM0 and PARAM1 are the arguments inside a promoted body.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from rsrm.primitives import (
    BY_NAME,
    DEFAULT_OPERATORS,
    LITERAL_NAMES,
    LITERALS,
    OP_CONSTANT,
    OP_LITERAL,
    OP_PROMOTED,
    OP_VARIABLE,
    PRIMITIVES,
    check_operators,
)

PAD, PARAM0, PARAM1 = -1, -2, -3
DEFAULT_CAPACITY = 16
MAX_BODY = 32


class Tables(NamedTuple):
    """Arrays that kernels take; K tokens, S body tokens in all.

    ``allowed`` says which tokens the search may append; a token that is not allowed can still occur in an expression
    that a direct stage composed.
    """

    n_variables: int
    arity: np.ndarray  # int8[K]
    opcode: np.ndarray  # int16[K]
    literal: np.ndarray  # float64[K]; NaN where the token is no literal
    allowed: np.ndarray  # bool[K]
    body_start: np.ndarray  # int32[K]; 0 where the token is not promoted
    body_length: np.ndarray  # int32[K]; 0 where the token is not promoted
    bodies: np.ndarray  # int16[S], primitives, terminals, PARAM0 and PARAM1 only: already expanded


class Promoted(NamedTuple):
    """A promoted operator: a token body over PARAM0 and PARAM1 that is expanded before evaluation."""

    name: str
    arity: int
    body: tuple[int, ...]


@dataclass(frozen=True)
class Library:
    """The alphabet of a problem.

    Parameters
    ----------
    n_variables : int
        D, the number of columns of X.
    operators : tuple of str
        Operators that the search may use.
    constants : bool
        Whether the fitted constant is an action.
    literals : bool
        Whether the literals 1, 2 and pi are actions.
    variable_names : tuple of str, optional
        Names for printing; ``x0, x1, ...`` by default.
    promoted : tuple of Promoted
        Slots filled so far; use :meth:`promote`.
    capacity : int
        Number of promoted slots; fixes K for the life of a search.

    Raises
    ------
    ValueError
        For an unknown operator, names that do not fit `n_variables`, or more promoted operators than slots.
    """

    n_variables: int
    operators: tuple[str, ...] = DEFAULT_OPERATORS
    constants: bool = True
    literals: bool = True
    variable_names: tuple[str, ...] = ()
    promoted: tuple[Promoted | None, ...] = ()
    capacity: int = DEFAULT_CAPACITY
    _ids: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.n_variables < 1:
            raise ValueError(f"n_variables must be at least 1, got {self.n_variables}")
        object.__setattr__(self, "operators", check_operators(self.operators))
        names = tuple(self.variable_names) or tuple(f"x{i}" for i in range(self.n_variables))
        if len(names) != self.n_variables:
            raise ValueError(f"variable_names: {len(names)} names for {self.n_variables} variables")
        object.__setattr__(self, "variable_names", names)
        if len(self.promoted) > self.capacity:
            raise ValueError(f"promoted: {len(self.promoted)} operators for {self.capacity} slots")
        base = self.n_variables + 1
        for i, name in enumerate(LITERAL_NAMES):
            self._ids[name] = base + i
        for i, p in enumerate(PRIMITIVES):
            self._ids[p.name] = base + len(LITERALS) + i

    def __len__(self) -> int:
        """Return K, the number of token ids, unfilled slots included."""
        return self.first_promoted + self.capacity

    @property
    def constant(self) -> int:
        """Token id of the fitted constant."""
        return self.n_variables

    @property
    def first_promoted(self) -> int:
        """Token id of the first promoted slot."""
        return self.n_variables + 1 + len(LITERALS) + len(PRIMITIVES)

    def token(self, name: str) -> int:
        """Return the id of a primitive or literal by name, e.g. ``"add"`` or ``"pi"``."""
        return self._ids[name]

    def name(self, token: int) -> str:
        """Return the printed name of a token id."""
        d = self.n_variables
        if token == PAD:
            return "<pad>"
        if token in (PARAM0, PARAM1):
            return f"#{-2 - token}"
        if token < d:
            return self.variable_names[token]
        if token == d:
            return "C"
        if token <= d + len(LITERALS):
            return LITERAL_NAMES[token - d - 1]
        if token < self.first_promoted:
            return PRIMITIVES[token - d - 1 - len(LITERALS)].name
        slot = token - self.first_promoted
        entry = self.promoted[slot] if slot < len(self.promoted) else None
        return entry.name if entry else f"<slot {slot}>"

    def promote(self, name: str, arity: int, body) -> "Library":
        """Return a library with `body` in the first free slot.

        Parameters
        ----------
        name : str
            Printed name.
        arity : int
            0, 1 or 2.
        body : sequence of int
            Prefix tokens below the promoted band; PARAM0 and PARAM1 stand for the arguments.

        Raises
        ------
        ValueError
            If no slot is free, `arity` is another number, or the body is not a complete prefix expression that uses
            exactly `arity` parameters.
        """
        if not isinstance(arity, (int, np.integer)) or isinstance(arity, bool) or not 0 <= arity <= 2:
            raise ValueError(f"arity of {name!r} must be 0, 1 or 2, got {arity!r}")
        try:
            body = tuple(int(t) for t in body)
        except (TypeError, ValueError) as error:
            raise ValueError(f"body of {name!r} must be a sequence of token ids, got {body!r}") from error
        if any(t >= self.first_promoted for t in body):
            raise ValueError(f"body of {name!r} holds promoted tokens: expand it first")
        need = 1
        for t in body:
            if need == 0:
                need = -1  # tokens follow the end
                break
            need += (0 if t < 0 else int(self.tables.arity[t])) - 1
        if need != 0:
            raise ValueError(f"body {list(body)} of {name!r} is not one complete prefix expression")
        if {t for t in body if t < 0} != {PARAM0, PARAM1}.intersection((PARAM0, PARAM1)[:arity]):
            raise ValueError(f"body of {name!r} must use exactly the parameters of arity {arity}")
        if len(body) > MAX_BODY:
            raise ValueError(f"body of {name!r} has {len(body)} tokens, at most {MAX_BODY} are possible")
        slots = list(self.promoted)
        entry = Promoted(str(name), int(arity), body)
        if None in slots:
            slots[slots.index(None)] = entry
        elif len(slots) < self.capacity:
            slots.append(entry)
        else:
            raise ValueError(f"no free slot for {name!r}: all {self.capacity} are taken")
        return self._with(promoted=tuple(slots))

    def demote(self, token: int) -> "Library":
        """Return a library with the slot of promoted `token` emptied; other ids stay what they were."""
        slot = token - self.first_promoted
        if not 0 <= slot < len(self.promoted) or self.promoted[slot] is None:
            raise ValueError(f"token {token} is not a promoted operator")
        slots = list(self.promoted)
        slots[slot] = None
        return self._with(promoted=tuple(slots))

    def _with(self, **changes) -> "Library":
        keep = {k: getattr(self, k) for k in
                ("n_variables", "operators", "constants", "literals", "variable_names", "promoted", "capacity")}
        return Library(**{**keep, **changes})

    @cached_property
    def tables(self) -> Tables:
        """The arrays that kernels take, built once per library."""
        d, k, first = self.n_variables, len(self), self.first_promoted
        arity = np.zeros(k, np.int8)
        opcode = np.full(k, OP_PROMOTED, np.int16)
        literal = np.full(k, np.nan)
        allowed = np.zeros(k, np.bool_)
        start = np.zeros(k, np.int32)
        length = np.zeros(k, np.int32)
        opcode[:d] = OP_VARIABLE
        allowed[:d] = True
        opcode[d] = OP_CONSTANT
        allowed[d] = self.constants
        for i, value in enumerate(LITERALS):
            opcode[d + 1 + i] = OP_LITERAL
            literal[d + 1 + i] = value
            allowed[d + 1 + i] = self.literals
        for p in PRIMITIVES:
            t = self.token(p.name)
            arity[t] = p.arity
            opcode[t] = p.opcode
        for name in self.operators:
            allowed[self._ids[BY_NAME[name].name]] = True
        bodies: list[int] = []
        for i, entry in enumerate(self.promoted):
            if entry is None:
                continue
            arity[first + i] = entry.arity
            allowed[first + i] = True
            start[first + i] = len(bodies)
            length[first + i] = len(entry.body)
            bodies.extend(entry.body)
        return Tables(d, arity, opcode, literal, allowed, start, length, np.array(bodies or [PAD], np.int16))
