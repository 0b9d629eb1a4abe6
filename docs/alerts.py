"""`python -m docs.alerts`: write the table of alerts in docs/watching.md from the rules and the runbooks' titles."""

import sys
from pathlib import Path
from typing import Final

import yaml

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PAGE: Final = REPOSITORY / "docs" / "watching.md"
_BEGIN, _END = "<!-- alerts: python -m docs.alerts -->\n", "<!-- /alerts -->\n"


def table() -> str:
    """A line an alert, in the order of the rule files."""
    lines = ["| alert | severity | after | |", "|---|---|---|---|"]
    seen: dict[str, tuple[list[str], str]] = {}
    for file in sorted((REPOSITORY / "deploy" / "prometheus" / "rules").glob("*.yml")):
        rules = [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
        for rule in (rule for rule in rules if "alert" in rule):
            seen.setdefault(rule["alert"], ([], rule["for"]))[0].append(rule["labels"]["severity"])
    for name, (severities, wait) in seen.items():
        title = (REPOSITORY / "docs" / "runbooks" / f"{name}.md").read_text().splitlines()[0].partition(": ")[2]
        lines.append(f"| [{name}](runbooks/{name}.md) | {', then '.join(severities)} | {wait} | {title} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with the table as it should be."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    return before + _BEGIN + table() + _END + rest.partition(_END)[2]


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
