"""What somebody sees: rows and facts of some accounts, of some kinds, and without some of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from events.ids import parts
from events.log import Recorded
from projections.asking import Asked, BadQuery, Query


class Unseen(Exception):
    """It is there, and not for who asks: of an account that is not his, or, without one, of no concern."""

    def __init__(self, account_id: str | None) -> None:
        super().__init__(account_id or "this is of another area than yours")
        self.account_id = account_id


@dataclass(frozen=True)
class Sight:
    accounts: frozenset[str] | None = None
    """Only what is of these; None: of all."""
    kinds: frozenset[str] | None = None
    """Only facts of such streams; None: of all."""
    kinds_hidden: frozenset[str] = frozenset()
    contact: str | None = None
    """Of whom he is, where of contacts' own methods he sees but his; empty: he is nobody's."""
    hidden: frozenset[str] = frozenset()
    """Fields that are left out, wherever they stand."""

    def check(self, event: Recorded) -> None:
        """Raises `Unseen`."""
        self.check_account(event.home.partition("/")[2])
        kind = parts(event.stream)[1]
        if kind in self.kinds_hidden or (self.kinds is not None and kind not in self.kinds):
            raise Unseen(None)

    def check_account(self, account_id: str) -> None:
        """Raises `Unseen`."""
        if self.accounts is not None and account_id not in self.accounts:
            raise Unseen(account_id)

    def sees(self, event: Recorded) -> bool:
        try:
            self.check(event)
        except Unseen:
            return False
        return True

    def check_row(self, row: Mapping[str, Any]) -> None:
        """Of a read model whose rows are of accounts.  Raises `Unseen`."""
        self.check_account(row["account_id"] or "")

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a saved method is his, his account's, or shared in it."""
        if self.contact is None or row.get("contact_id") in (None, self.contact):
            return True
        return bool(row.get("shared_within_account"))

    def narrowed(self, query: Query, asked: Asked) -> Asked:
        """The same question about these accounts only.  Raises `Unseen`, `BadQuery`."""
        if self.accounts is None:
            return asked
        if "account_id" not in query.filters:
            raise BadQuery("account_id", f"{query.name} cannot be asked for some accounts only", "FORBIDDEN")
        named = [part for given in asked.get("account_id", ()) for part in given.split(",")]
        for account_id in named:
            if account_id not in self.accounts:
                raise Unseen(account_id)
        return asked if named else {**asked, "account_id": [",".join(sorted(self.accounts))]}

    def shown(self, value: Any) -> Any:
        """An answer without what is hidden: the fields are there, and empty."""
        if not self.hidden:
            return value
        if isinstance(value, Mapping):
            told = cast("Mapping[str, Any]", value).items()
            return {name: None if name in self.hidden else self.shown(each) for name, each in told}
        if isinstance(value, list | tuple):
            return [self.shown(each) for each in cast("list[Any]", value)]
        return value

    def told(self, fact: Any) -> Any:
        """A fact as it may be put into words."""
        if not self.hidden:
            return fact
        optional = (each.name for each in fields(fact) if each.default is None)
        left_out = dict.fromkeys(name for name in optional if name in self.hidden)
        return replace(fact, **left_out) if left_out else fact


EVERYTHING = Sight()
