"""A finding: what is wrong, where, and the line to change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing to mend, or, if not ``serious``, one to know about."""

    what: str
    #: A file of the project, ``file:line``, or a part of the machine.
    where: str
    #: The line to write, or the command to run.
    cure: str
    serious: bool = True

    def __str__(self) -> str:
        """Return the finding as it is printed."""
        mark = "✗" if self.serious else "·"
        return f"{mark} {self.where}: {self.what}\n    {self.cure}"
