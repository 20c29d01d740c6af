"""What raw codes mean, as a page: `python -m gateways.taxonomy > gateways/codes.md`.

Made from the maps themselves, so it cannot say what the code does not.
"""

from __future__ import annotations

import sys

from gateways.codes import FAMILIES, MAPS, RESULTS, VERSION
from gateways.protocol import CATEGORIES

HARDNESS = {"S": "soft", "H": "hard", "N": "never again", "A": "asks the customer"}

HEAD = f"""# What gateways' codes mean

Raw code map, version {VERSION}; printed by `python -m gateways.taxonomy`, and compared with the code by a
test. *Soft*: the same instrument may be tried again. *Hard*: it may not, another one may. *Never again*:
networks fine those who try. *Asks the customer*: soft, once they have put something right. Codes are matched
in lower case, without spaces around them.

A code that is in no map is `Unknown`, soft, and raises the exception `UNMAPPED_CODE`. A tenant's own map
comes before these: `payments.gateway_provider.publish_raw_code_map.v1`. Each outcome keeps the version of
the map by which it was read.
"""


def page() -> str:
    return "\n".join([HEAD, *(_section(family) for family in FAMILIES)])


def _section(family: str) -> str:
    lines = [f"## {FAMILIES[family]}", "", "| category | | codes |", "|---|---|---|"]
    for category in CATEGORIES:
        for hardness, word in HARDNESS.items():
            codes = [code for code, each in MAPS[family].items() if each == (category, hardness)]
            if codes:
                lines.append(f"| {category} | {word} | {', '.join(f'`{code}`' for code in codes)} |")
    special = [(code, result) for (of, code), result in RESULTS.items() if of == family]
    if special:
        lines += ["", "No refusals: " + ", ".join(f"`{code}` is {result}" for code, result in special) + "."]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
