"""Raw code maps: whole, in order, and as the page says them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from events.shapes import Outcome
from gateways import taxonomy
from gateways.codes import _TABLES, FAMILIES, MAPS, NO_MAP, RESULTS, UNKNOWN, CodeMap, Meaning, classify
from gateways.mapped import remapped
from gateways.outcomes import refused
from gateways.protocol import CATEGORIES, RESULT_CODES


def test_the_page_is_that_of_the_code() -> None:
    page = Path(taxonomy.__file__).with_name("codes.md").read_text("utf-8")
    assert page == taxonomy.page(), "run `python -m gateways.taxonomy > gateways/codes.md`"


@pytest.mark.parametrize("family", sorted(MAPS))
def test_every_code_has_one_meaning_and_can_be_matched(family: str) -> None:
    listed = Counter(code for _, _, codes in _TABLES[family] for code in codes.split())
    assert [code for code, times in listed.items() if times > 1] == []
    assert all(code == code.strip().lower() for code in listed)
    assert {meaning.category for meaning in MAPS[family].values()} <= set(CATEGORIES) - {"ValidationFailure"}
    assert {meaning.hardness for meaning in MAPS[family].values()} <= set("SHNA")
    assert family in FAMILIES


def test_codes_are_matched_trimmed_and_in_lower_case() -> None:
    assert classify("stripe", " Lost_Card ") == Meaning("Security", "N")
    assert classify("ach", "R01") == Meaning("CardLimit", "S")
    assert classify("stripe", "zz_unheard_of") == UNKNOWN


@pytest.mark.parametrize(
    ("family", "code", "result", "hard", "never"),
    [
        ("stripe", "insufficient_funds", "Decline", False, False),
        ("stripe", "expired_card", "ValidationError", True, False),
        ("stripe", "incorrect_cvc", "ValidationError", False, False),
        ("stripe", "pickup_card", "PermanentFail", True, True),
        ("adyen", "50", "PermanentFail", True, True),
        ("braintree", "2004", "ValidationError", True, False),
        ("authorize_net", "252", "RequiresReview", False, False),
        ("authorize_net", "13", "SystemError", False, False),
        ("iso8583", "R1", "PermanentFail", True, True),
        ("mastercard_advice", "21", "PermanentFail", True, True),
        ("sepa", "MD01", "PermanentFail", True, True),
        ("bacs", "B", "Decline", True, False),
        ("adyen", "999", "Decline", False, False),
    ],
)
def test_a_code_becomes_a_result(family: str, code: str, result: str, hard: bool, never: bool) -> None:
    told = refused(family, code)
    assert (told.result_code, told.hard, told.never_retry) == (result, hard, never)
    assert told.code_map_version == 1


def test_what_is_no_refusal_is_in_the_maps_too() -> None:
    for (family, code), result in RESULTS.items():
        assert code in MAPS[family]
        assert result in RESULT_CODES


def test_a_published_map_comes_first_and_its_version_is_kept() -> None:
    told = refused("stripe", "Insufficient_Funds ")
    published = CodeMap(3, {"insufficient_funds": Meaning("Security", "N")})
    again = remapped(told, published)
    assert (again.result_code, again.category, again.never_retry) == ("PermanentFail", "Security", True)
    assert again.code_map_version == 3
    assert remapped(told, NO_MAP) == told
    assert remapped(refused("stripe", "lost_card"), published).code_map_version == 1
    assert remapped(Outcome("Success", raw_code="insufficient_funds"), published).code_map_version is None
