"""The one compile decorator.

Every compiled function of the project is made with :data:`njit`, so that all of them share the same floating-point
contract: divisions by zero give infinities as in NumPy, sums may be reordered, and NaN and infinity stay visible
(``nnan`` and ``ninf`` are left out on purpose: with them ``isfinite(nan)`` is true and invalid expressions pass).

The rest of the module is about the time to compile. Most kernels are called by other kernels only; such a call needs
no wrapper that unpacks Python objects (with a dozen arrays it is longer than the kernel itself), and no copy for
arguments that happen to be literal numbers.
"""

from functools import partial

from llvmlite import binding
from numba.core import compiler, config, sigutils, typed_passes, types, untyped_passes
from numba.core.ccallback import CFunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import _FunctionCompiler
from numba.core.registry import CPUDispatcher

from rsrm._cache import KernelCache
from rsrm._collector import young_only

FASTMATH = frozenset({"nsz", "arcp", "contract", "afn", "reassoc"})
UNUSED_PASSES = {
    untyped_passes.WithLifting, untyped_passes.InlineClosureLikes, untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.InlineInlinables, untyped_passes.LiteralUnroll, untyped_passes.FindLiterallyCalls,
    typed_passes.NopythonRewrites,
}
"""For closures, object mode, loops over tuples and arithmetic on whole arrays: kernels have none, and searching for
them takes time."""


class _Symbols:
    """Functions that compiled code calls by symbol; see :func:`external`."""

    waiting: list[tuple[str, CFunc]] = []
    """Those that are not compiled yet, callees first."""

    @classmethod
    @global_compiler_lock
    def link(cls):
        """Compile what waits, or load it from the cache, and register the symbols.

        Code that calls a symbol that is missing cannot even be loaded.
        """
        with young_only():
            while cls.waiting:
                symbol, function = cls.waiting.pop(0)
                function.compile()
                binding.add_symbol(symbol, function.address)


class _Flags(compiler.Flags):
    """Options of a compilation, one object for equal ones (:func:`_flags`), and equal to itself only.

    numba looks its overloads up by the options. Its own have one hash for all, so that each look compares forty options
    with every entry: a tenth of the time to compile.
    """

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    known: dict[str, "_Flags"] = {}

    def copy(self):
        return self


def _flags(compiling, **changes):
    """Return the options that `compiling`, a numba function compiler, compiles with, after `changes`."""
    flags = _Flags()
    compiling.targetdescr.options.parse_as_flags(flags, compiling.targetoptions)
    for name, value in changes.items():
        setattr(flags, name, value)
    return _Flags.known.setdefault(repr(flags), flags)


class _Pipeline(compiler.Compiler):
    """numba's passes without :data:`UNUSED_PASSES`."""

    def define_pipelines(self):
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [p for p in passes.passes if p[0] not in UNUSED_PASSES]
        return [passes]


class _InnerLibrary(JITCodeLibrary):
    """LLVM code of one function that is only copied into callers, and never made machine code.

    It is simplified a little and left to be optimized with the caller. What it calls is not copied into it: a caller
    links all it needs, directly or not, once.
    """

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout
        passes, builder = self._codegen._function_pass_manager(loop_vectorize=False, slp_vectorize=False, opt=1)
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def finalize(self):
        self._finalize_dynamic_globals()
        self._finalized = True


class _OuterLibrary(JITCodeLibrary):
    """LLVM code that becomes machine code, optimized once, with all that it calls in place."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)

    def finalize(self):
        needed = list(self._linking_libraries)
        for library in needed:  # grows
            if isinstance(library, _InnerLibrary):
                needed += [inner for inner in library._linking_libraries if inner not in needed]
        self._linking_libraries = needed
        super().finalize()


class _InnerCompiler(_FunctionCompiler):
    """Compiles into an :class:`_InnerLibrary`."""

    _library = _InnerLibrary

    def _compile_core(self, args, return_type):
        context = self.targetdescr.target_context
        library = self._library(context.codegen(), self.py_func.__qualname__)
        library.enable_object_caching()
        return compiler.compile_extra(self.targetdescr.typing_context, context, self.py_func, args, return_type,
                                      self._flags(), self.locals, library, _Pipeline)

    def _flags(self):
        return _flags(self, no_compile=True)


class _OuterCompiler(_InnerCompiler):
    """Compiles into an :class:`_OuterLibrary`."""

    _library = _OuterLibrary

    def _flags(self):
        return _flags(self)


class _SymbolCompiler(_OuterCompiler):
    """Compiles what is called by symbol."""

    def _flags(self):
        return _flags(self, no_compile=True, no_cpython_wrapper=True, no_cfunc_wrapper=False, enable_pyobject=False)


class _Inner(CPUDispatcher):
    """A kernel as other kernels see it: without a wrapper for Python, one copy for literal and other integers."""

    def __init__(self, py_func, targetoptions):
        options = {**targetoptions, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        super().__init__(py_func, None, options)
        self._compiler = _InnerCompiler(py_func, self.targetdescr, options, {}, _Pipeline)

    def get_call_template(self, args, kws):
        return super().get_call_template([types.unliteral(a) for a in args],
                                         {k: types.unliteral(a) for k, a in kws.items()})

    def add_overload(self, cres):
        self.overloads[tuple(cres.signature.args)] = cres
        self.targetctx.insert_user_function(cres.library, cres.fndesc, [cres.library])

    def get_overload(self, sig):
        return self.overloads[tuple(sigutils.normalize_signature(sig)[0])].library


class Kernel(CPUDispatcher):
    """A kernel as Python sees it: cached on disk, compiled with the first call for a type of arguments."""

    def __init__(self, py_func, locals=None, targetoptions=None):
        super().__init__(py_func, locals, targetoptions or {})
        self._inner = _Inner(py_func, self.targetoptions)
        self._compiler = _OuterCompiler(py_func, self.targetdescr, self.targetoptions, {}, _Pipeline)

    def enable_caching(self):
        self._cache = KernelCache(self.py_func)

    def compile(self, sig):
        _Symbols.link()
        return super().compile(sig)

    def get_call_template(self, args, kws):
        return self._inner.get_call_template(args, kws)

    def get_overload(self, sig):
        return self._inner.get_overload(sig)


def _decorate(function=None, cache=True, **options):
    """Compile `function` with `options` of numba's dispatcher."""
    if function is None:
        return partial(_decorate, cache=cache, **options)
    if config.DISABLE_JIT:
        return function
    kernel = Kernel(function, targetoptions={"nopython": True, "nogil": True, "no_cfunc_wrapper": True,
                                             "error_model": "numpy", **options})
    if cache:
        kernel.enable_caching()
    return kernel


njit = partial(_decorate, fastmath=set(FASTMATH))
"""``numba.njit`` with the project's options: cached on disk, GIL released, NumPy's error model, NaN-safe fast maths."""

njit_exact = _decorate
"""The same without fast maths, for code whose rounding is part of its meaning."""

njit_leaf = partial(njit, _nrt=False)
"""The same for functions that allocate nothing and return no array: without numba's run time no references are counted,
which costs 15 to 40 ns for each array that is taken from a tuple or a row."""


def external(signature):
    """Let compiled code call a function by symbol.

    numba copies every callee into its caller and optimizes it again there, level by level: the large switches over the
    opcodes, ten levels deep, cost half a minute. A symbol is resolved by the loader instead.

    Parameters
    ----------
    signature : numba signature
        Of plain numbers.

    Returns
    -------
    decorator : callable
        Returns a ``numba.types.ExternalFunction``, which compiled code calls like a function.
    """
    def decorate(function):
        if config.DISABLE_JIT:
            return function
        options = {"nopython": True, "error_model": "numpy"}
        compiled = CFunc(function, sigutils.normalize_signature(signature), {}, options)
        compiled._compiler = _SymbolCompiler(function, compiled._targetdescr, options, {}, _Pipeline)
        compiled._cache = KernelCache(function)
        symbol = f"{function.__module__}.{function.__name__}"
        _Symbols.waiting.append((symbol, compiled))
        return types.ExternalFunction(symbol, signature)
    return decorate
