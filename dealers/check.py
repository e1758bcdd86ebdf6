"""Testing a peer against the protocol, rule by rule: what each rule wants, and what the peer did instead."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

from rfq.domain.values import Frozen


class Broken(Exception):
    """A rule was broken; the text says what the peer did."""


class Unchecked(Exception):
    """A rule could not be checked; the text says why."""


class Rule(Frozen, frozen=True):
    """A short name, and what the protocol wants."""

    name: str
    wants: str


class Finding(Frozen, frozen=True):
    rule: Rule
    verdict: Literal["pass", "FAIL", "unchecked"]
    detail: str = ""


class Report:
    """What was found, in the order it was checked."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    async def check(self, rule: Rule, play: Callable[[], Awaitable[str | None]]) -> bool:
        """Plays one rule and notes the finding. `play` returns a remark, or raises Broken or Unchecked."""
        try:
            finding = Finding(rule, "pass", await play() or "")
        except Broken as broken:
            finding = Finding(rule, "FAIL", str(broken))
        except Unchecked as unchecked:
            finding = Finding(rule, "unchecked", str(unchecked))
        self.findings.append(finding)
        return finding.verdict == "pass"

    def skip(self, rules: Iterable[Rule], why: str) -> None:
        """Notes rules that cannot be checked any more."""
        self.findings.extend(Finding(rule, "unchecked", why) for rule in rules)

    @property
    def passed(self) -> bool:
        """Every rule was checked and kept."""
        return bool(self.findings) and all(finding.verdict == "pass" for finding in self.findings)

    def as_text(self) -> str:
        """One line a rule, what was wrong beneath it, and the sum."""
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.verdict:9}  {finding.rule.name}: {finding.rule.wants}")
            if finding.detail:
                lines.append(f"{'':11}{finding.detail}")
        kept = sum(finding.verdict == "pass" for finding in self.findings)
        lines.append(f"{kept} of {len(self.findings)} rules kept")
        return "\n".join(lines)
