"""The compiled step of a model in one place, and its adjoint, made from the model's rates.

The rates ``du_i/dt = a_i u_i + g_i`` are traced with sympy. One step of tau
takes each species by its own Bernoulli equation with the coefficients frozen at
the middle of the step::

    b = a + c u,  c = -da/du_i      (so that a u = b u - c u^2 near this state)
    w   = (u e^x + g t phi(x)) / (1 + c u t phi(x)),  x = b t,  t = tau/2,  b c g at u
    new = (u e^x + g t phi(x)) / (1 + c u t phi(x)),  x = b t,  t = tau,    b c g at w

with ``phi(x) = (e^x - 1)/x``. It is of second order in tau, never negative for
gains that are not negative and c u t above -1, exact for logistic growth with
any constant kill, and exact for linear rates. (Own; an exponential midpoint
rule whose diagonal is the Bernoulli equation.)

The adjoint is written statement by statement from the same expressions, and
both are generic in the kind of number: run with complex numbers they give
derivatives by the complex step (Squire and Trapp 1998, SIAM Rev 40:110, doi
10.1137/S003614459631241X).

The source is kept in the cache folder, so that a model is compiled once.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from solvers.models.model import Model
from twin.storage import cache_folder, write_atomically

__all__ = [
    "LARGEST_EXPONENT", "PointwiseStep", "TracedRates", "phi_factors", "pointwise_step",
    "step_by_places", "traced_rates",
]  # fmt: skip

_importing = threading.Lock()
_modules: dict[str, ModuleType] = {}

#: Exponents above this are halved by taking shorter steps.
LARGEST_EXPONENT = 0.5
#: Terms of the series of phi: the error at `LARGEST_EXPONENT` is 4e-14.
_TERMS = 12


@dataclass(frozen=True, slots=True)
class PointwiseStep:
    """Compiled loops of one model over all nodes.

    Parameters
    ----------
    forward : callable
        ``forward(state, result, p, tau, lowest) -> (wrong, stiff)``: one step of tau [day] from
        `state` to `result`, both (species, node), with parameters `p` (the kill last); how many
        mobile densities lay below `lowest` or were no numbers, and how many exponents were
        too large for the series.
    backward : callable
        ``backward(state, bar, result, p, tau, p_bar)``: from the derivative `bar` of something
        by the step's result to that by its `state`, written to `result`; that by `p` is added to
        `p_bar`.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]


@functools.lru_cache(maxsize=32)
def pointwise_step(model: Model) -> PointwiseStep:
    """The compiled step of a model; its code is made on first use."""
    module = _compiled(_source(model))
    return PointwiseStep(module.forward, module.backward)


@functools.lru_cache(maxsize=8)
def step_by_places(model: Model) -> Callable[..., Any]:
    """As `PointwiseStep.forward`, but ``forward(kill, state, ...)`` with a kill of each node."""
    found: Callable[..., Any] = _compiled(_source(model, by_places=True)).forward
    return found


@dataclass(frozen=True, slots=True)
class TracedRates:
    """The coefficients of the step as one function of arrays or tensors.

    Parameters
    ----------
    changing : tuple of int
        Rows of the species that change at all.
    limited, gained : tuple of bool
        Whether c, and whether g, of each of them is anything but 0.
    function : callable
        ``function(*rows, *values)``: a of each changing species, then every c, then every g
        (plain 0 where there is none).
    """

    changing: tuple[int, ...]
    limited: tuple[bool, ...]
    gained: tuple[bool, ...]
    function: Callable[..., Sequence[Any]]


@functools.lru_cache(maxsize=32)
def traced_rates(model: Model, exp: Callable[[Any], Any], log: Callable[[Any], Any]) -> TracedRates:
    """a, c and g of the step's formula, from the expressions that the compiled step is made of.

    Parameters
    ----------
    model : Model
    exp, log : callable
        Of the kind of number that the function is to take, such as `torch.exp`.
    """
    symbols = _Symbols(model)
    chosen = symbols.changing
    parts = [[each[k] for k in chosen] for each in (symbols.per_cell, symbols.limit, symbols.gain)]
    function = symbols.sympy.lambdify(
        [*symbols.state, *symbols.values],
        [expression for part in parts for expression in part],
        modules=[{"exp": exp, "log": log}],
        cse=True,
    )
    return TracedRates(
        tuple(chosen),
        tuple(c != 0 for c in parts[1]),
        tuple(g != 0 for g in parts[2]),
        function,
    )


def _compiled(source: str) -> ModuleType:
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    return _imported(f"twin_model_{digest}", source)


def _imported(name: str, source: str) -> ModuleType:
    """The module of this source, made once; a thread that comes meanwhile waits for it."""
    with _importing:
        if name not in _modules:
            _modules[name] = _import(name, source)
        return _modules[name]


def _import(name: str, source: str) -> ModuleType:
    path = cache_folder() / "models" / f"{name}.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != source:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda target: target.write_text(source, encoding="utf-8"))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class _Symbols:
    """The rates of a model as expressions in u0.., p0.."""

    def __init__(self, model: Model) -> None:
        import sympy

        self.sympy = sympy
        count, given = len(model.names), len(model.parameters) + 1
        self.state = sympy.symbols(f"u0:{count}", real=True)
        self.values = sympy.symbols(f"p0:{given}", real=True)
        rates = model.evaluate(self.state, self.values)
        self.per_cell = [self._clean(rate.per_cell) for rate in rates]
        self.gain = [self._clean(rate.gain) for rate in rates]
        self.limit = [-sympy.diff(a, u) for a, u in zip(self.per_cell, self.state, strict=True)]
        #: Species that change at all.
        self.changing = [
            k for k in range(count) if not (self.per_cell[k] == 0 and self.gain[k] == 0)
        ]

    def _clean(self, rate: Any) -> Any:
        expression = self.sympy.sympify(rate)
        return self.sympy.Integer(0) if expression.is_zero else expression

    def lines(self, targets: Sequence[tuple[str, Any]], indent: str, prefix: str) -> list[str]:
        """Assignments of the targets with common parts taken out, as source."""
        shared, results = self.sympy.cse(
            [expression for _, expression in targets],
            symbols=(self.sympy.Symbol(f"{prefix}{k}") for k in range(100000)),
            order="none",
        )
        found = [f"{indent}{name} = {self.code(value)}" for name, value in shared]
        found += [
            f"{indent}{name} = {self.code(value)}"
            for (name, _), value in zip(targets, results, strict=True)
        ]
        return found

    def code(self, expression: Any) -> str:
        from sympy.printing.pycode import PythonCodePrinter

        class Printer(PythonCodePrinter):
            def _print_Pow(self, power: Any, rational: bool = False) -> str:
                base, exponent = power.base, power.exp
                if exponent.is_Integer and 0 < abs(int(exponent)) <= 4:
                    inner = self.parenthesize(base, 60)
                    product = "*".join([inner] * abs(int(exponent)))
                    return f"({product})" if exponent > 0 else f"(1.0/({product}))"
                return str(super()._print_Pow(power, rational=rational))

            def _print_exp(self, expr: Any) -> str:
                return f"np.exp({self._print(expr.args[0])})"

            def _print_log(self, expr: Any) -> str:
                return f"np.log({self._print(expr.args[0])})"

            def _print_Integer(self, expr: Any) -> str:
                return f"{int(expr)}.0"

        return str(Printer({"fully_qualified_modules": False}).doprint(expression))


def _series(name: str, factors: Sequence[float], x: str, indent: str) -> str:
    """A polynomial by Horner's rule."""
    text = repr(factors[-1])
    for factor in reversed(factors[:-1]):
        text = f"{factor!r} + {x}*({text})"
    return f"{indent}{name} = {text}"


def phi_factors(terms: int = _TERMS) -> list[float]:
    """Coefficients of the series of ``phi(x) = (e^x - 1)/x``, from the constant up.

    >>> phi_factors(2)
    [1.0, 0.5]
    """
    return [1.0 / math.factorial(k + 1) for k in range(terms)]


def _stage(symbols: _Symbols, at: str, into: str, step: str, tag: str, indent: str) -> list[str]:
    """Source of one stage: from start u and coefficients at `at` to `into`, over `step`."""
    rename = {u: symbols.sympy.Symbol(f"{at}{k}", real=True) for k, u in enumerate(symbols.state)}
    chosen = symbols.changing
    targets = [(f"a{tag}{k}", symbols.per_cell[k].xreplace(rename)) for k in chosen]
    targets += [(f"c{tag}{k}", symbols.limit[k].xreplace(rename)) for k in chosen]
    targets += [(f"g{tag}{k}", symbols.gain[k].xreplace(rename)) for k in chosen]
    lines = symbols.lines(targets, indent, f"s{tag}_")
    for k in chosen:
        plain = symbols.limit[k] == 0
        lines.append(
            f"{indent}x{tag}{k} = "
            + (f"a{tag}{k}*{step}" if plain else f"(a{tag}{k} + c{tag}{k}*{at}{k})*{step}")
        )
        lines.append(_series(f"f{tag}{k}", phi_factors(), f"x{tag}{k}", indent))
        top = f"u{k}*(1.0 + x{tag}{k}*f{tag}{k})"
        if symbols.gain[k] != 0:
            top += f" + g{tag}{k}*{step}*f{tag}{k}"
        if not plain:
            lines.append(f"{indent}d{tag}{k} = 1.0 + c{tag}{k}*u{k}*{step}*f{tag}{k}")
            top = f"({top})/d{tag}{k}"
        lines.append(f"{indent}{into}{k} = {top}")
    lines += [f"{indent}{into}{k} = u{k}" for k in range(len(symbols.state)) if k not in chosen]
    return lines


def _stage_back(
    symbols: _Symbols, at: str, result: str, bar: str, step: str, tag: str, indent: str
) -> list[str]:
    """Source that carries `bar` (by the stage's result) to ub (start), `at`'s bar and pb."""
    chosen = symbols.changing
    lines: list[str] = []
    slopes = [(k + 1) * factor for k, factor in enumerate(phi_factors()[1:])]
    for k in chosen:
        y, out = f"{bar}{k}", f"{result}{k}"
        t, f, x = step, f"f{tag}{k}", f"x{tag}{k}"
        plain, gained = symbols.limit[k] == 0, symbols.gain[k] != 0
        lines.append(f"{indent}n_ = {y}" + ("" if plain else f"/d{tag}{k}"))
        lines.append(_series("q_", slopes, x, indent))
        lines.append(f"{indent}ub{k} += n_*(1.0 + {x}*{f})")
        lines.append(f"{indent}fb_ = " + (f"n_*g{tag}{k}*{t}" if gained else "zero"))
        lines.append(f"{indent}ga{tag}{k} = " + (f"n_*{t}*{f}" if gained else "zero"))
        if plain:
            lines.append(f"{indent}cc{tag}{k} = zero")
        else:
            lines.append(f"{indent}e_ = -n_*{out}*{t}")
            lines.append(f"{indent}ub{k} += e_*c{tag}{k}*{f}")
            lines.append(f"{indent}cc{tag}{k} = e_*u{k}*{f}")
            lines.append(f"{indent}fb_ = fb_ + e_*c{tag}{k}*u{k}")
        # e^x = d(x phi)/dx's integral: its derivative is itself
        lines.append(f"{indent}xb_ = (n_*u{k}*(1.0 + {x}*{f}) + fb_*q_)*{t}")
        lines.append(f"{indent}aa{tag}{k} = xb_")
        if not plain:
            lines.append(f"{indent}cc{tag}{k} += xb_*{at}{k}")
            lines.append(f"{indent}{at}b{k} += xb_*c{tag}{k}")
    lines += [f"{indent}ub{k} += {bar}{k}" for k in range(len(symbols.state)) if k not in chosen]
    sympy = symbols.sympy
    rename = {u: sympy.Symbol(f"{at}{k}", real=True) for k, u in enumerate(symbols.state)}
    weighted = sum(
        sympy.Symbol(f"aa{tag}{k}") * symbols.per_cell[k]
        + sympy.Symbol(f"cc{tag}{k}") * symbols.limit[k]
        + sympy.Symbol(f"ga{tag}{k}") * symbols.gain[k]
        for k in chosen
    )
    targets = [
        (f"h{tag}{k}", sympy.diff(weighted, u).xreplace(rename))
        for k, u in enumerate(symbols.state)
    ]
    targets += [
        (f"r{tag}{k}", sympy.diff(weighted, p).xreplace(rename))
        for k, p in enumerate(symbols.values)
    ]
    used = [(name, value) for name, value in targets if value != 0]
    lines += symbols.lines(used, indent, f"z{tag}_")
    names = {name for name, _ in used}
    lines += [
        f"{indent}{at}b{k} += h{tag}{k}" for k in range(len(symbols.state)) if f"h{tag}{k}" in names
    ]
    lines += [
        f"{indent}pb{k} += r{tag}{k}" for k in range(len(symbols.values)) if f"r{tag}{k}" in names
    ]
    return lines


def _source(model: Model, *, by_places: bool = False) -> str:
    symbols = _Symbols(model)
    species, given = len(symbols.state), len(symbols.values)
    every = range(species)
    body = " " * 8
    unpack = [f"    p{k} = p[{k}]" for k in range(given)]
    rows = [f"    s{k} = state[{k}]" for k in every]
    results = [f"    o{k} = result[{k}]" for k in every]
    read = [f"{body}u{k} = s{k}[i]" for k in every]
    if by_places:
        unpack[-1:] = []
        read.append(f"{body}p{given - 1} = kill[i]")
    wrong = [f"{body}wrong += not u{k}.real >= lowest" for k in model.mobile]
    stiff = [
        f"{body}stiff += abs(x{tag}{k}.real) > {LARGEST_EXPONENT!r}"
        for tag in ("m", "n")
        for k in symbols.changing
    ]
    stiff += [
        f"{body}stiff += abs(d{tag}{k}.real - 1.0) > {LARGEST_EXPONENT!r}"
        for tag in ("m", "n")
        for k in symbols.changing
        if symbols.limit[k] != 0
    ]
    forward = [
        "@compiled_sums",
        f"def forward({'kill, ' if by_places else ''}state, result, p, tau, lowest):",
        *unpack, *rows, *results,
        "    half = 0.5 * tau",
        "    wrong = 0",
        "    stiff = 0",
        "    for i in range(state.shape[1]):",
        *read, *wrong,
        *_stage(symbols, "u", "w", "half", "m", body),
        *_stage(symbols, "w", "y", "tau", "n", body),
        *stiff,
        *[f"{body}o{k}[i] = y{k}" for k in every],
        "    return wrong, stiff",
    ]  # fmt: skip
    backward = [
        "@compiled_sums",
        "def backward(state, bar, result, p, tau, p_bar):",
        *unpack, *rows, *results,
        *[f"    b{k} = bar[{k}]" for k in every],
        "    half = 0.5 * tau",
        "    zero = 0.0 * p0",
        *[f"    pb{k} = zero" for k in range(given)],
        "    for i in range(state.shape[1]):",
        *read,
        *_stage(symbols, "u", "w", "half", "m", body),
        *_stage(symbols, "w", "y", "tau", "n", body),
        *[f"{body}yb{k} = b{k}[i]" for k in every],
        *[f"{body}ub{k} = zero" for k in every],
        *[f"{body}wb{k} = zero" for k in every],
        *_stage_back(symbols, "w", "y", "yb", "tau", "n", body),
        *_stage_back(symbols, "u", "w", "wb", "half", "m", body),
        *[f"{body}o{k}[i] = ub{k}" for k in every],
        *[f"    p_bar[{k}] += pb{k}" for k in range(given)],
    ]  # fmt: skip
    head = [
        f'"""Made from the rates of the model "{model.name}"; do not edit."""',
        "",
        "import numpy as np",
        "",
        "from twin.compiled import compiled_sums",
        "",
    ]
    rest = [] if by_places else ["", "", *backward]
    return "\n".join([*head, "", *forward, *rest, ""])
