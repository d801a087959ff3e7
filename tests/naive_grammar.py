"""Slow twin of the grammar: writes an expression out as nested tuples and looks at every node."""

from rsrm.grammar import INVERSE_PAIRS, TRIGONOMETRIC
from rsrm.library import PARAM0, PARAM1


def parse(library, tokens):
    """Return the written-out tree ``(name, child, ...)`` of a complete prefix expression."""
    tree, rest = _parse(library, list(tokens))
    assert not rest
    return tree


def _parse(library, tokens):
    head, rest, children = tokens[0], tokens[1:], []
    for _ in range(library.tables.arity[head]):
        child, rest = _parse(library, rest)
        children.append(child)
    if head >= library.first_promoted:
        body = list(library.promoted[head - library.first_promoted].body)
        tree, left = _fill(library, body, children)
        assert not left
        return tree, rest
    return (library.name(head), *children), rest


def _fill(library, body, arguments):
    head, rest, children = body[0], body[1:], []
    if head in (PARAM0, PARAM1):
        return arguments[0 if head == PARAM0 else 1], rest
    for _ in range(library.tables.arity[head]):
        child, rest = _fill(library, rest, arguments)
        children.append(child)
    return (library.name(head), *children), rest


def nodes(tree):
    """Yield every node of the tree."""
    yield tree
    for child in tree[1:]:
        yield from nodes(child)


def depth(tree):
    return 1 + max((depth(c) for c in tree[1:]), default=0)


def paths(tree):
    """Yield the names on every path from the root to a leaf."""
    if len(tree) == 1:
        yield (tree[0],)
    for child in tree[1:]:
        for path in paths(child):
            yield (tree[0], *path)


def obeys(library, tokens, *, max_size=30, max_depth=10, max_constants=10, nested_constraints=None,
          nested_trigonometry=False, inverse_pairs=False, constant_operators=False):
    """Return whether the complete expression `tokens` satisfies every rule."""
    tree = parse(library, tokens)
    everything = list(nodes(tree))
    if len(everything) > max_size or depth(tree) > max_depth:
        return False
    if sum(node[0] == "C" for node in everything) > max_constants:
        return False
    for node in everything:
        if not inverse_pairs and any((node[0], child[0]) in INVERSE_PAIRS for child in node[1:]):
            return False
        if not constant_operators and node[1:] and all(child[0] in ("C", "1", "2", "pi") for child in node[1:]):
            return False
    for path in paths(tree):
        for i, name in enumerate(path):
            if not nested_trigonometry and name in TRIGONOMETRIC and any(p in TRIGONOMETRIC for p in path[i + 1:]):
                return False
            for inner, limit in (nested_constraints or {}).get(name, {}).items():
                if path[i + 1:].count(inner) > limit:
                    return False
    return True


def expressions(library, max_length):
    """Yield every complete token list over the allowed tokens of at most `max_length` tokens (not written out)."""
    allowed = [t for t in range(len(library)) if library.tables.allowed[t]]

    def extend(prefix, need):
        if need == 0:
            yield prefix
            return
        for t in allowed:
            arity = int(library.tables.arity[t])
            if len(prefix) + need + arity <= max_length:
                yield from extend([*prefix, t], need - 1 + arity)

    yield from extend([], 1)
