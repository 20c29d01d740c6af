"""Personal data in facts: which fields hold it, and how it is sealed under its subject's own key.

A data subject is an account; its key is kept apart from the log.  Once the key is destroyed, what it
sealed reads `ERASED`, everywhere and for ever, and the facts around it stay whole.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

SEALED = "sealed:1:"
"""How a sealed text begins: the version of the seal, then URL-safe base64 of AES-SIV."""
ERASED = "[erased]"
"""What a sealed text says once its key is destroyed."""
KEY_BYTES = 64
"""AES-256-SIV: one half authenticates, one half encrypts."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_MARK = f'"{SEALED}'.encode()


@dataclass(frozen=True)
class PersonalData:
    """Marks a field whose text is sealed in the log and in what is published."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core_schema), "x-personal-data": True}


Personal = Annotated[str, PersonalData()]
"""Text about a person: a name, an e-mail address, a street."""


class SubjectKey:
    """The key of one data subject.

    AES-SIV needs no nonce: the same text is sealed to the same bytes, so that an event is encoded
    alike however often that happens; whose it is, is authenticated with it.
    """

    __slots__ = ("_home", "_siv")

    def __init__(self, home: str, key: bytes) -> None:
        assert len(key) == KEY_BYTES, f"a subject's key has {KEY_BYTES} bytes"
        self._home, self._siv = [home.encode()], AESSIV(key)

    def seal(self, text: str) -> str:
        sealed = self._siv.encrypt(b"\x00" + text.encode(), self._home)  # SIV takes no empty text
        return SEALED + base64.b64encode(sealed).translate(_URL_SAFE).decode()

    def unseal(self, sealed: str) -> str:
        """The text; what this key has not sealed is left as it is."""
        try:
            return self._siv.decrypt(
                base64.urlsafe_b64decode(sealed.removeprefix(SEALED)), self._home
            ).decode()[1:]
        except (InvalidTag, ValueError):
            return sealed


def reveal(text: str, key: SubjectKey | None) -> str:
    """A text as a person may read it: opened, or `ERASED` where the key is destroyed (None)."""
    if not text.startswith(SEALED):
        return text
    return ERASED if key is None else key.unseal(text)


def is_sealed(data: bytes) -> bool:
    """Whether the JSON of a fact holds a sealed text."""
    return _MARK in data


def has_personal_data(fact: object) -> bool:
    """Whether a fact holds personal data: its class may, and one of the marked fields is set."""
    return _holds(fact, _marks(personal_paths(type(fact))))


def _holds(whole: Any, marks: Marks) -> bool:
    for name, inside in marks:
        given = getattr(whole, name)
        if given is not None and (not inside or _holds(given, inside)):
            return True
    return False


def sealed(fact: object, key: SubjectKey | None) -> bytes:
    """The fact as one JSON object, every marked text sealed, or erased where the key is destroyed (None)."""
    seal = key.seal if key else _erased
    return orjson.dumps(_sealed(fact, _marks(personal_paths(type(fact))), seal))


def _sealed(whole: object, marks: Marks, seal: Callable[[str], str]) -> dict[str, Any]:
    fields = vars(whole).copy()
    for name, inside in marks:
        given = fields.get(name)
        if given is not None:
            fields[name] = _sealed(given, inside, seal) if inside else seal(given)
    return fields


def _erased(text: str) -> str:
    return ERASED


Marks = tuple[tuple[str, "Marks"], ...]
"""Fields of an object: marked ones, and others with what is marked inside."""


@cache
def _marks(paths: tuple[tuple[str, ...], ...]) -> Marks:
    names = dict.fromkeys(path[0] for path in paths)
    inside = {name: tuple(path[1:] for path in paths if path[0] == name and path[1:]) for name in names}
    return tuple((name, _marks(deeper)) for name, deeper in inside.items())


def opened(data: bytes, key: SubjectKey | None) -> bytes:
    """The JSON of a fact, of whatever version, with every sealed text opened."""
    return orjson.dumps(_opened(orjson.loads(data), key)) if is_sealed(data) else data


def _opened(value: Any, key: SubjectKey | None) -> Any:
    match value:
        case str():
            return reveal(value, key)
        case dict():
            return {name: _opened(part, key) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [_opened(part, key) for part in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


@cache
def personal_paths(fact: type[Any]) -> tuple[tuple[str, ...], ...]:
    """The marked fields of a class and of the objects inside it, such as `("billing_address", "line1")`."""
    paths: list[tuple[str, ...]] = []
    for name, hint in get_type_hints(fact, include_extras=True).items():
        for kind in _kinds(hint):
            if isinstance(kind, PersonalData):
                paths.append((name,))
            elif isinstance(kind, type) and is_dataclass(kind):
                paths += [(name, *path) for path in personal_paths(kind)]
    return tuple(paths)


def _kinds(hint: Any) -> list[Any]:
    """A type and its marks, out of `X | None` and `Annotated`."""
    if hasattr(hint, "__metadata__"):
        return [hint.__origin__, *hint.__metadata__]
    arguments = [part for part in get_args(hint) if part is not type(None)]
    if not arguments or getattr(hint, "__origin__", None) in (tuple, dict):
        assert not any(_marked(part) for part in arguments), f"lists of personal data are not sealed: {hint}"
        return [hint]
    return [kind for part in arguments for kind in _kinds(part)]


def _marked(hint: Any) -> bool:
    if any(isinstance(kind, PersonalData) for kind in getattr(hint, "__metadata__", ())):
        return True
    return isinstance(hint, type) and is_dataclass(hint) and bool(personal_paths(hint))
