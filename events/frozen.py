"""Frozen dataclasses that are made as fast as others, and whose JSON leaves out what is null.

A frozen dataclass assigns each field through `object.__setattr__`, since its own refuses; an invoice
of eight lines is some forty such objects.  Ours fill the instance's dictionary: a third of the time.
A field that is None by default, and is None, is not put there: its class answers for it, and orjson,
which writes what the dictionary holds, does not write it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, TypeVar, cast, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """`@dataclass(frozen=True)`, with the same signature, defaults and equality."""
    made = dataclass(frozen=True)(cls)
    made.__init__ = _filling_init(made)
    return made


def _fill(field: Field[Any]) -> str:
    filling = f"_own[{field.name!r}] = {field.name}"
    return f"if {field.name} is not None: {filling}" if field.default is None else filling


def _filling_init(cls: type[Any]) -> Callable[..., None]:
    assert not hasattr(cls, "__post_init__"), f"{cls.__name__} wants to be asked after its making"
    parameters, namespace = ["self"], dict[str, Any]()
    for field in fields(cls):
        assert field.default_factory is MISSING, f"{cls.__name__}.{field.name}: facts share no defaults"
        if field.default is MISSING:
            parameters.append(field.name)
        else:
            namespace[f"default_{field.name}"] = field.default
            parameters.append(f"{field.name}=default_{field.name}")
    filling = "".join(f"\n    {_fill(field)}" for field in fields(cls))
    exec(  # noqa: S102 - as `dataclasses` itself makes its methods
        f"def __init__({', '.join(parameters)}):\n    _own = self.__dict__{filling}", namespace
    )
    init = cast("Callable[..., None]", namespace["__init__"])
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {field.name: field.type for field in fields(cls)}
    return init
