"""Calls as a timeline: one line a try, with when, where, how it ended and why it was tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..call import Attempt, CallReport
    from .seen import Seen

MOST_CALLS = 50
"""A timeline tells of no more calls than that: the last ones."""


@dataclass(frozen=True, slots=True)
class Told:
    """One call's report, when the call began, in seconds on its own clock, and which line of code made it."""

    started: float
    report: CallReport
    where: str = ""


def report_of(subject: Any) -> CallReport | None:
    """Return the report of a response or an exception, or of a report itself; `None` where there is none."""
    from ..call import CallReport

    if isinstance(subject, CallReport):
        return subject
    extensions = getattr(subject, "extensions", None)
    found = extensions.get("ambassador") if isinstance(extensions, dict) else getattr(subject, "call", None)
    return found if isinstance(found, CallReport) else None


def timeline(calls: Iterable[Told | CallReport], *, name: Callable[[str], str] = str) -> str:
    """Return the calls in the order of their beginning, seconds after the first; `name` names endpoints."""
    told = [call if isinstance(call, Told) else Told(0.0, call) for call in calls]
    told.sort(key=lambda call: call.started)
    left_out = max(0, len(told) - MOST_CALLS)
    told = told[left_out:]
    if not told:
        return "no call was made under a policy"
    zero = told[0].started
    lines = [f"({left_out} earlier calls are left out)"] if left_out else []
    for call in told:
        lines += _lines(call, call.started - zero, name)
    return "\n".join(lines)


def requests_seen(seen: Sequence[Seen]) -> str:
    """Return what an upstream saw, one line a request, seconds after the first."""
    if not seen:
        return "no request arrived"
    zero = seen[0].arrived
    return "\n".join(
        f"{_at(one.arrived - zero)}  {one.method} {one.target}  {one.answered or 'no status'}  "
        f"(endpoint {one.endpoint}, connection {one.connection}{f', by {one.because}' if one.because else ''})"
        for one in seen
    )


def _lines(call: Told, at: float, name: Callable[[str], str]) -> list[str]:
    report = call.report
    lines = [f"{_at(at)}  {report.method} {report.url}{f'  ({call.where})' if call.where else ''}"]
    width = max((len(name(attempt.endpoint or "-")) for attempt in report.attempts), default=0)
    lines += [_try(attempt, at, name, width) for attempt in report.attempts]
    ended = f"{_at(at + report.duration)}  " if report.duration is not None else "   (open)  "
    parts = [
        f"= {report.status or '-'}",
        f"via {report.cluster}" if report.cluster else "",
        ",".join(report.flags),
        report.details,
        "" if report.duration is None else f"after {seconds(report.duration)}",
        "" if report.attempts else "(no try)",
    ]
    return [*lines, ended + "  " + " ".join(filter(None, parts))]


def _try(attempt: Attempt, at: float, name: Callable[[str], str], width: int) -> str:
    error = attempt.error
    outcome = str(attempt.status or (_reason(error) if error is not None else "unfinished"))
    outcome = outcome.partition(" [")[0]  # the call's story, which follows in errors of ours, is what is told here
    took = "" if attempt.duration is None else f" in {seconds(attempt.duration)}"
    because = ""
    if attempt.retried_because:
        because = f", retried: {attempt.retried_because}"
    elif attempt.not_retried_because:
        because = f", not retried: {attempt.not_retried_because}"
    endpoint = name(attempt.endpoint or "-")
    return f"{_at(at + attempt.started)}    #{attempt.number} {endpoint:<{width}}  {outcome}{took}{because}"


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _at(value: float) -> str:
    return f"{value:+10.3f} s"


def seconds(value: float) -> str:
    """Return a duration as people say it."""
    if abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 120 else f"{value:.0f} s"
