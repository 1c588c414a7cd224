"""Captions of the report say what their rules have."""

import re
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).resolve().parents[2] / "workflow"
CAPTIONS = sorted(path for path in (WORKFLOW / "report").glob("*.rst") if path.name != "workflow.rst")
RULES = [
    rule
    for path in sorted((WORKFLOW / "rules").glob("*.smk"))
    for rule in re.split(r"^ *(?=rule \w+:)", path.read_text(), flags=re.MULTILINE)[1:]
]


@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda path: path.name)
def test_a_caption_names_only_wildcards_of_its_rules_outputs(caption: Path) -> None:
    named = set(re.findall(r"wildcards\.(?!get\b)(\w+)", caption.read_text()))
    rules = [rule for rule in RULES if f"report/{caption.name}" in rule]
    assert rules
    for rule in rules:
        outputs = rule[rule.index("    output:") : rule.index("    log:")]
        assert named <= set(re.findall(r"{{(\w+)}}", outputs)), rule.split(":")[0]
