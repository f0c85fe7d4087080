"""Lower-level problems, which make an instance of (1') of a batch of observations."""

from __future__ import annotations

import torch
from torch import Size, Tensor, nn

from ergodual.autocast import in_own_type
from ergodual.consistency import APART, probe, require_products
from ergodual.errors import ErgodualError
from ergodual.functions import (
    Function,
    KullbackLeibler,
    NonNegative,
    Quadratic,
    SeparableSum,
    SquaredL2,
    Zero,
)
from ergodual.functions.sums import bind
from ergodual.instance import Instance
from ergodual.operators import Blur, Diagonal, Fourier, Identity, Operator, Stack
from ergodual.operators.unmatched import is_unmatched
from ergodual.tensors import holds, plain, traced


class LowerLevel(nn.Module):
    """What :class:`Problem` and :class:`InverseProblem` share."""

    F: Function
    G: Function
    K: Operator

    def __init__(self) -> None:
        super().__init__()
        # domains for which the adjoint has been compared with the operator
        self._probed: set[Size] = set()

    def __setattr__(self, name: str, value: Tensor | nn.Module) -> None:
        if isinstance(value, Operator):
            self._probed = set()
        super().__setattr__(name, value)

    @in_own_type
    def instance(self, observation: Tensor) -> Instance:
        """The problem that a batch of observations poses.

        Raises
        ------
        ErgodualError
            If the observations do not fit the problem in shape, type or device, or, where that
            has not been seen yet, the operator's adjoint is none.
        """
        # what is parametrised is evaluated once, so that all that follows sees one value
        return plain(self)._instance(observation)

    def to_solve(self, observation: Tensor) -> Instance:
        """The same as ``solve`` and ``Solved`` pose it, with the solutions of :meth:`instance`."""
        return self.instance(observation)

    def _instance(self, observation: Tensor) -> Instance:
        raise NotImplementedError

    def operator(self) -> Operator:
        """What the iteration applies: K, or the stack (A; K)."""
        raise NotImplementedError

    def with_functions(self, F: Function | None = None, G: Function | None = None) -> LowerLevel:
        """The same problem with another F or G."""
        raise NotImplementedError

    def like(self) -> Tensor:
        """A tensor of the problem's type and device; the default ones where it has no tensors."""
        return next((t for t in self.parameters() if t.is_floating_point()), torch.zeros(()))

    def _posed(
        self,
        terms: tuple[Function, Function, Operator],
        shift: Tensor | None,
        offset: Tensor | None,
        domain: Size,
        like: Tensor,
    ) -> Instance:
        F, G, K = terms
        codomain = K.codomain(domain)
        F = bind(F, K.layout(domain))
        F.check(len(like), codomain)
        G.check(len(like), domain)
        for part in terms:
            for t in part.tensors():
                if t.is_floating_point() and (t.dtype != like.dtype or t.device != like.device):
                    raise ErgodualError(
                        f"{type(part).__name__} has a tensor that is {t.dtype} on {t.device}, and "
                        f"the observations are {like.dtype} on {like.device}; convert one of them "
                        "with .to()."
                    )
        if domain not in self._probed and not traced():
            require_products(K, domain, like)
            alike = K.alike(domain)
            if alike not in self._probed and not is_unmatched(K):
                probe(K, alike, like, K.norm_bound(alike))
            self._probed |= {domain, alike}
        return Instance(F, G, K, shift, offset, len(like), domain, codomain, like)


class Problem(LowerLevel):
    """min_r F(K(x̃ + r)) + G(r), with x = x̃ + r: equation (1) of Brauer, Lorenz 2019.

    All functions are centred at the observation x̃: G sees r = x − x̃, while that of
    :class:`InverseProblem` sees x.

    Parameters
    ----------
    F
        The regulariser's function of the analysis coefficients, for instance ``L1()``.
    G
        The data term's function of r = x − x̃, for instance ``Box(radius=η)``.
    K
        The analysis operator.

    Raises
    ------
    ErgodualError
        If F, G or K is something else, or G excludes r = 0.

    Examples
    --------
    >>> noisy = torch.tensor([[0.1, -0.1, 0.0, 1.1, 0.9, 1.0]])
    >>> problem = ed.Problem(F=ed.L1(0.3), G=ed.SquaredL2(), K=ed.Gradient())
    >>> ed.solve(problem, noisy).x  # total variation
    tensor([[0.1000, 0.1000, 0.1000, 0.9000, 0.9000, 0.9000]])
    """

    def __init__(self, F: Function, G: Function, K: Operator) -> None:
        super().__init__()
        _require_terms(F=F, G=G, K=K)
        if not G.encloses_zero():
            raise ErgodualError(
                "Problem's G excludes r = x - x~ = 0; its bounds must satisfy lower <= 0 <= upper "
                "(InverseProblem's G is a function of x and need not)."
            )
        self.F, self.G, self.K = F, G, K

    def operator(self) -> Operator:
        return self.K

    def with_functions(self, F: Function | None = None, G: Function | None = None) -> Problem:
        changed = Problem(self.F if F is None else F, self.G if G is None else G, self.K)
        changed._probed = self._probed
        return changed

    def _instance(self, observation: Tensor) -> Instance:
        require_batch(observation)
        domain = observation.shape[1:]
        terms = (self.F, self.G, self.K)
        return self._posed(terms, observation, None, domain, observation)


class InverseProblem(LowerLevel):
    """min_x data(Ax − b) + F(Kx) + G(x), an inverse problem with observations b.

    It is (1') with K ← (A; K), F ← data ⊕ F, offset (−b; 0), no shift and r = x: the estimate is
    Σ α_k r^k, and both A and K, and all functions, may be learned. Where A is the identity, F is
    given and G is not (or is x ≥ 0 beside ``KullbackLeibler()``, which says nothing new), it is
    :class:`Problem` with x̃ = b and the data term for its G: of total variation in a tenth of the
    time.

    ``solve`` and ``Solved`` take the data term by its prox, as G = ``Quadratic(A, b)`` beside F and
    K alone, where that pays: A is ``Diagonal``, ``Fourier`` or a circular ``Blur`` whose singular
    values are 0 or within a factor of 10, the data term ``SquaredL2()`` with one weight, neither is
    learned, F is given and G is not. The solution is the same, in about half of the iterations, and
    its y is that of Kx. ``Unrolled``, whose iterations are what was learned, keeps the stack.

    Parameters
    ----------
    A
        The forward operator; the identity if None.
    data
        The data term's function of Ax − b, for instance ``SquaredL2()``.
    F, K
        The regulariser: a function of Kx, and the operator, the identity if None; without F there
        is none.
    G
        A function of x itself, for instance ``NonNegative()``; ``Zero()`` if None.
    domain
        The shape of a sample of x, where that of b does not tell it, as of a strided A.

    Raises
    ------
    ErgodualError
        If a part is something else, or K is given without F.

    Examples
    --------
    Two sums of three numbers that are not negative, as few of them as will do:

    >>> A = ed.Dense(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64))
    >>> problem = ed.InverseProblem(A=A, data=ed.SquaredL2(), F=ed.L1(0.1), G=ed.NonNegative())
    >>> ed.solve(problem, torch.tensor([[1.0, 1.0]], dtype=torch.float64)).x
    tensor([[0.0000, 0.0000, 0.9500]], dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        A: Operator | None = None,
        data: Function,
        F: Function | None = None,
        K: Operator | None = None,
        G: Function | None = None,
        domain: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        A, G = Identity() if A is None else A, Zero() if G is None else G
        if F is None and K is not None:
            raise ErgodualError("InverseProblem got K without F; give the function of Kx.")
        F, K = Zero() if F is None else F, Identity() if K is None else K
        _require_terms(A=A, data=data, F=F, K=K, G=G)
        self.A, self.data, self.F, self.K, self.G = A, data, F, K, G
        self.given_domain = None if domain is None else Size(domain)

    def operator(self) -> Operator:
        if self._denoises():
            return self.K
        # without a regulariser A is alone
        return Stack(self.A) if isinstance(self.F, Zero) else Stack(self.A, self.K)

    def _denoises(self) -> bool:
        """Whether the data term is a function of x − b, and so its prox a step in x."""
        counts = type(self.data) is KullbackLeibler and self.data.counts is None
        # of means of counts x ≥ 0 says nothing new
        rest = isinstance(self.G, Zero) or (counts and type(self.G) is NonNegative)
        alone = isinstance(self.A, Identity) and rest
        return alone and not isinstance(self.F, Zero) and self.data.encloses_zero()

    def with_functions(
        self, F: Function | None = None, G: Function | None = None
    ) -> InverseProblem:
        changed = InverseProblem(
            A=self.A,
            data=self.data,
            F=self.F if F is None else F,
            K=self.K,
            G=self.G if G is None else G,
            domain=self.given_domain,
        )
        changed._probed = self._probed
        return changed

    @in_own_type
    def to_solve(self, observation: Tensor) -> Instance:
        """The same as ``solve`` and ``Solved`` pose it: with G = ``Quadratic(A, b)`` where the data
        term has such a prox, and else :meth:`instance`.
        """
        require_batch(observation)
        one = plain(self)
        G = one._least_squares(observation)
        if G is None:
            return self.instance(observation)
        domain = one._domain(observation)
        offset = observation.new_zeros(len(observation), *one.K.codomain(domain))
        return one._posed((one.F, G, one.K), None, offset, domain, observation)

    def _least_squares(self, observation: Tensor) -> Quadratic | None:
        """The data term with its prox, where that has a closed form, nothing of it is learned, it
        is alone beside F, and no direction is hardly seen: those that a strong blur leaves cost
        single precision its digits.
        """
        A, data = self.A, self.data
        closed = type(A) in (Diagonal, Fourier, Blur) and getattr(A, "boundary", "") != "zero"
        fixed = not any(t.requires_grad for t in (*A.tensors(), *data.tensors()))
        # what does not fit, or is not finite, is refused where the stack is posed
        fixed &= holds(observation.isfinite())
        fixed &= all(t.dtype == observation.dtype for t in A.tensors())
        fixed &= all(t.device == observation.device for t in A.tensors())
        alone = isinstance(self.G, Zero) and not isinstance(self.F, Zero)
        if not (closed and fixed and alone and type(data) is SquaredL2):
            return None
        weight = torch.as_tensor(data.weight)
        if weight.numel() != 1:
            return None
        G = Quadratic(A, observation, self._domain(observation), float(weight))
        return G if G.steady() else None

    def with_operator(self, A: Operator) -> InverseProblem:
        """The same problem with another A."""
        return InverseProblem(
            A=A, data=self.data, F=self.F, K=self.K, G=self.G, domain=self.given_domain
        )

    def _instance(self, observation: Tensor) -> Instance:
        domain = self._domain(observation)
        data, offset = self.data.observed(observation)
        if self._denoises():
            terms = (self.F, data, self.K)
            return self._posed(terms, -offset, None, domain, observation)
        K, offset = self.operator(), offset.flatten(1)
        regularised = len(K.layout(domain)) > 1
        F = SeparableSum(data, self.F) if regularised else SeparableSum(data)
        rest = K.codomain(domain)[0] - offset.shape[1]
        if rest:
            offset = torch.cat([offset, offset.new_zeros((len(offset), rest))], 1)
        one = self._posed((F, self.G, K), None, offset, domain, observation)
        return one._replace(reach=observation[0:1].numel() if rest else None)

    def _domain(self, observation: Tensor) -> Size:
        """The shape of a sample of x."""
        require_batch(observation)
        seen = observation.shape[1:]
        domain = self.A.domain(seen) if self.given_domain is None else self.given_domain
        if self.A.codomain(domain) != seen:
            raise ErgodualError(
                f"A sample of the observations has shape {tuple(seen)}, and A makes "
                f"{tuple(self.A.codomain(domain))} of x of shape {tuple(domain)}; give "
                "observations of that shape, or another domain=."
            )
        return domain


def _require_terms(**terms: Function | Operator) -> None:
    for name, term in terms.items():
        kind = Operator if name in "AK" else Function
        if not isinstance(term, kind):
            given = term.__name__ if isinstance(term, type) else type(term).__name__
            raise ErgodualError(
                f"{name} is {given}; it must be {'an' if kind is Operator else 'a'} "
                f"{kind.__name__.lower()}, as {'ed.Dense(matrix)' if name in 'AK' else 'ed.L1()'}."
            )


def require_batch(observation: Tensor) -> None:
    if not isinstance(observation, Tensor):
        raise ErgodualError(
            f"The observations are a {type(observation).__name__}; give a torch tensor, as of "
            "torch.as_tensor(array)."
        )
    if not observation.is_floating_point():
        kind = "give real and imaginary parts as channels" if observation.is_complex() else ""
        raise ErgodualError(
            f"The observations are {observation.dtype}; "
            f"{kind or 'convert them to floating-point numbers, as with .float()'}."
        )
    if observation.dtype not in APART:
        raise ErgodualError(
            f"The observations are {observation.dtype}; convert them and the problem to float32 or "
            "float64."
        )
    if observation.ndim < 2:
        raise ErgodualError(
            f"The observations have shape {tuple(observation.shape)}; axis 0 is the batch and the "
            "rest the sample: add the batch with x.unsqueeze(0)."
        )
