"""The registry of methods: name → method."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._display import as_text, table_as_html
from .._steps.stepper import Stepper
from ..errors import UnknownMethod, look_up
from . import explicit, implicit
from .dopri8 import DOPRI8
from .implicit_runge_kutta import ImplicitRungeKutta
from .multistep import AdamsBashforth, AdamsBashforthMoulton
from .reversible import AsynchronousLeapfrog, ReversibleRungeKutta
from .runge_kutta import ExplicitRungeKutta
from .sample_switching import SampleSwitching
from .scipy import ScipySolver
from .switching import Switching
from .symplectic import Leapfrog, Yoshida4
from .tableau import ButcherTableau


@dataclass(frozen=True)
class Method:
    """A method of the kit, and what it declares of itself.

    Attributes:
        name: what `method=` takes.
        order: order of convergence of the solution.
        implicit: whether steps, or some of them, solve equations.
        adaptive: whether steps are chosen by an error estimate unless a step size or a grid is given.
        reference: where the coefficients come from.
        family: the class that takes its steps.
        tableau: its coefficients, for a Runge–Kutta method.
        options: names of the options its family understands beyond those of every solve.
    """

    name: str
    order: int
    implicit: bool
    adaptive: bool
    reference: str
    family: type[Stepper]
    tableau: ButcherTableau | None = field(default=None, repr=False)
    options: frozenset[str] = field(init=False, compare=False)

    def __post_init__(self):
        # Made once: explicit steppers keep nothing of a solve, and torch.compile cannot follow their making.
        object.__setattr__(self, "options", frozenset(inspect.signature(self.family).parameters) - {"tableau"})
        object.__setattr__(self, "_prepared", None if self.implicit else self._make())

    def stepper(self, **options: Any) -> Stepper:
        """The method at work, with the options of its family."""
        if self._prepared is not None and options in ({}, {"interp": "dense"}):
            return self._prepared
        return self._make(**options)

    def sample_stepper(self, **options: Any) -> Stepper:
        """The same over times of every sample."""
        return SampleSwitching(**options) if self.family is Switching else self.stepper(**options)

    def _make(self, **options) -> Stepper:
        return self.family(self.tableau, **options) if self.tableau is not None else self.family(**options)

    @property
    def stages(self) -> int | None:
        """Slopes of a step, of a Runge–Kutta method."""
        return None if self.tableau is None else self.tableau.stages

    @property
    def dense_order(self) -> int:
        """The order of the solution at output times within a step."""
        return self.family.dense_order or self.order if self.tableau is None else self.tableau.dense_order()

    @property
    def stiff(self) -> bool:
        """Whether steps of any length follow what decays, however fast (A-stability)."""
        if self.tableau is None:
            return self.family.stiff
        return not self.reversible and self.tableau.a_stable

    @property
    def pairs(self) -> bool:
        """Whether its states are pairs (q, p), each half of which changes with the other alone."""
        return self.family.pairs

    @property
    def fixed(self) -> bool:
        """Whether it takes steps of given sizes, too."""
        return self.family.fixed

    @property
    def reversible(self) -> bool:
        """Whether its steps can be undone."""
        return self.family.reversible

    @property
    def samples(self) -> bool:
        """Whether every sample of a batch may have steps of its own."""
        return self.family.samples

    @property
    def compiled(self) -> bool:
        """Whether its steps can be taken in compiled loops."""
        return self.family.compiled

    @property
    def mass(self) -> bool:
        """Whether it takes a mass matrix, for which a step is its last stage and forgets what decays within it."""
        return issubclass(self.family, ImplicitRungeKutta) and self.tableau.l_stable and self.stepper().stiffly_accurate

    @property
    def differentiable(self) -> bool:
        """Whether its steps are torch operations, which gradients, events and dense output need."""
        return self.family.differentiable


class MethodTable(dict[str, Method]):
    """The methods by name, shown as a table."""

    def __repr__(self) -> str:
        rows = [
            (
                name,
                f"order {m.order}, {'im' if m.implicit else 'ex'}plicit, {'adaptive' if m.adaptive else 'fixed steps'}",
            )
            for name, m in self.items()
        ]
        return as_text("METHODS", rows)

    def _repr_html_(self) -> str:
        return table_as_html(
            ("method", "order", "implicit", "adaptive", "reference"),
            [(name, m.order, _yes(m.implicit), _yes(m.adaptive), m.reference) for name, m in self.items()],
        )


def _yes(whether: bool) -> str:
    return "yes" if whether else ""


def _explicit(name: str, tableau: ButcherTableau, adaptive: bool, reference: str) -> Iterator[Method]:
    """An explicit Runge–Kutta method and its reversible form."""
    yield Method(name, tableau.order, False, adaptive, reference, ExplicitRungeKutta, tableau)
    reference = f"McCallum & Foster 2024, arXiv:2410.11648, over {name}"
    yield Method(f"reversible_{name}", tableau.order, False, adaptive, reference, ReversibleRungeKutta, tableau)


def _implicit(name: str, tableau: ButcherTableau, reference: str) -> Method:
    adaptive = tableau.b_embedded is not None
    return Method(name, tableau.order, True, adaptive, reference, ImplicitRungeKutta, tableau)


_BOOK = "Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, section "
_STIFF = "Hairer & Wanner, Solving Ordinary Differential Equations II, section "
_ALL: Sequence[Method] = (
    *_explicit("euler", explicit.EULER, False, "Euler 1768; " + _BOOK + "I.7"),
    *_explicit("midpoint", explicit.MIDPOINT, False, "Runge 1895; " + _BOOK + "II.1"),
    *_explicit("heun", explicit.HEUN, False, "the trapezoidal predictor–corrector; " + _BOOK + "II.1"),
    *_explicit("heun3", explicit.HEUN3, False, "Heun 1900; " + _BOOK + "II.1, table 1.1"),
    *_explicit("ralston", explicit.RALSTON, False, "Ralston 1962, Math. Comp. 16: least truncation error of order 2"),
    *_explicit("rk4", explicit.RK4, False, "Kutta 1901; " + _BOOK + "II.1, table 1.2"),
    *_explicit(
        "rk4_38", explicit.RK4_38, False, "Kutta 1901, the 3/8 rule; " + _BOOK + "II.1, table 1.2; torchdiffeq's rk4"
    ),
    *_explicit("adaptive_heun", explicit.HEUN, True, "heun with Euler embedded; torchdiffeq's adaptive_heun"),
    *_explicit("fehlberg2", explicit.FEHLBERG2, True, "Fehlberg 1969, NASA TR R-315, RKF1(2)"),
    *_explicit("bosh3", explicit.BOSH3, True, "Bogacki & Shampine 1989, Appl. Math. Lett. 2"),
    *_explicit(
        "dopri5",
        explicit.DOPRI5,
        True,
        "Dormand & Prince 1980, J. Comput. Appl. Math. 6; " + _BOOK + "II.5, table 5.2",
    ),
    *_explicit("tsit5", explicit.TSIT5, True, "Tsitouras 2011, Comput. Math. Appl. 62"),
    *_explicit("dopri8", DOPRI8, True, "Dormand & Prince 8(5,3), Hairer's DOP853; " + _BOOK + "II.5 and II.10"),
    Method("alf", 2, False, False, "Mutze 2013; Zhuang et al. 2021, MALI, arXiv:2102.04668", AsynchronousLeapfrog),
    Method("leapfrog", 2, False, False, "Störmer 1907; Verlet 1967, Phys. Rev. 159: velocity Verlet", Leapfrog),
    Method("yoshida4", 4, False, False, "Yoshida 1990, Phys. Lett. A 150", Yoshida4),
    _implicit("implicit_euler", implicit.IMPLICIT_EULER, "backward Euler; " + _BOOK + "II.7"),
    _implicit("implicit_midpoint", implicit.IMPLICIT_MIDPOINT, "the Gauss method of one stage; " + _BOOK + "II.7"),
    _implicit("trapezoid", implicit.TRAPEZOID, "Crank & Nicolson 1947; " + _BOOK + "II.7"),
    _implicit(
        "sdirk2", implicit.SDIRK2, "Alexander 1977, SIAM J. Numer. Anal. 14; embedded: Ellsiepen 1999, Stuttgart"
    ),
    _implicit("trbdf2", implicit.TRBDF2, "Bank et al. 1985; Hosea & Shampine 1996, Appl. Numer. Math. 20"),
    _implicit("kvaerno3", implicit.KVAERNO3, "Kværnø 2004, BIT 44"),
    _implicit("kvaerno5", implicit.KVAERNO5, "Kværnø 2004, BIT 44"),
    _implicit("radauIIA3", implicit.RADAU3, "Ehle 1969; " + _STIFF + "IV.5, IV.8"),
    _implicit("radauIIA5", implicit.RADAU5, "Ehle 1969; " + _STIFF + "IV.5, IV.8"),
    _implicit("gl4", implicit.GAUSS4, "Hammer & Hollingsworth 1955; " + _BOOK + "II.7, table 7.3"),
    _implicit("gl6", implicit.GAUSS6, "Kuntzmann 1961, Butcher 1964; " + _BOOK + "II.7, table 7.4"),
    Method("explicit_adams", 4, False, False, "Adams & Bashforth 1883; " + _BOOK + "III.1, III.5", AdamsBashforth),
    Method(
        "implicit_adams",
        4,
        False,
        False,
        "Moulton 1926, as predictor and corrector; " + _BOOK + "III.1, III.5",
        AdamsBashforthMoulton,
    ),
    Method("auto", 5, True, True, "tsit5, or kvaerno5 where it is stiff; after LSODA, Petzold 1983", Switching),
)
METHODS: dict[str, Method] = MethodTable({method.name: method for method in _ALL})
#: torchdiffeq's names of methods that have another first
ALIASES = {"heun2": "heun", "fixed_adams": "implicit_adams"}
METHODS |= {
    alias: replace(METHODS[name], reference=f"another name of {name}, torchdiffeq's") for alias, name in ALIASES.items()
}
#: SciPy's solvers, for reference: found by name, but no method of the kit
SCIPY = Method("scipy_solver", 0, False, True, "Virtanen et al. 2020, SciPy; Petzold 1983 (LSODA)", ScipySolver)


def find(name: object) -> Method:
    """The method of that name.

    Raises:
        UnknownMethod: with the nearest name.
    """
    if isinstance(name, Method):
        return name
    if isinstance(name, str) and name == SCIPY.name:
        return SCIPY
    return look_up(name, METHODS, "method", UnknownMethod)


def reversible_form(method: Method) -> Method:
    """The method over which steps can be undone, where there is one; else the method itself."""
    return METHODS.get(f"reversible_{method.name}", method)
