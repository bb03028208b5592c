"""A scorecard and a policy become a verdict: promote, hold, reject or inconclusive.

The order is fixed. Evidence that cannot be trusted (missing, stale, failed answers) holds, whatever it says. Then
evidence of being worse rejects. Then limits that more prompts cannot change (price, latency) hold. Then anything not
shown is inconclusive, with the number of further prompts that would settle it. Then a student that scored no better
than the incumbent holds: a tie keeps what is live. Only what is left promotes. Missing is never read as fine.

Several conditions need no split of alpha: promotion asks for all of them, so a student that violates one is promoted
at most as often as that one is passed by chance (the intersection-union principle). Rejection and guards ask for any
of many, so there Holm's method keeps the chance of a false alarm at alpha.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_distill.stages.decision.policy import MetricRule, PromotionPolicy
from airflow_distill.stages.decision.records import Check, Reason, Verdict
from airflow_distill.stages.evaluation.records import CHALLENGERS, GOLDEN, Comparison, Scorecard
from airflow_distill.stages.money.records import Costs

STUDENT = "student"

LIVE_PROMPTS = "live"
"""The slice of checks on a shadow."""

SAME_SCORE = 1e-9
"""Two mean scores that differ by less are a tie; sums of many scores differ in their last digits."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What is true now, to hold the scorecard against: the dataset in force, the model on trial, the model now live.

    `incumbent_model` is None when nothing is live.
    """

    dataset_id: str
    heldout_sha256: str
    student_model: str
    incumbent_model: str | None = None


def decide(
    scorecard: Scorecard,
    policy: PromotionPolicy,
    *,
    freshness: Freshness | None,
    costs: Costs | None = None,
    look: int = 1,
    objections: Sequence[Reason] = (),
    given_away: Mapping[str, float] | None = None,
    shadow: Scorecard | None = None,
) -> Verdict:
    """Return the verdict.

    `freshness` is what is true now; without it nothing shows that the evidence is about this dataset and model, so
    the verdict is hold. `look` counts how often this student has been judged, this time included. `objections` are
    reasons found elsewhere (a judge that cannot be trusted) and hold. `given_away` is, by metric, what the releases up to
    the live one gave away against their predecessors (0 or below). `shadow` is how student and incumbent answered live
    prompts: it can stop a promotion and carries none.
    """
    roles = _roles(scorecard, policy, freshness)
    distrust = [*objections, *_distrust(scorecard, policy, freshness, look, roles)]
    quality = _quality(scorecard, policy, roles)
    if shadow is not None:
        distrust += _shadow_distrust(shadow, scorecard, policy)
        guards = [_guard_check(rule, c, policy) for rule, c in _shadow_guards(shadow, policy)]
        quality += _alarms(guards, policy.look_alpha)
    limits = [
        *_incumbent_checks(scorecard, policy, roles, given_away or {}),
        *_cost_checks(policy, costs),
        *_latency_checks(scorecard, policy),
    ]
    verdict, reasons = _verdict(distrust, quality, limits, list(_better_not(scorecard, policy, costs)))
    return Verdict(
        verdict=verdict,
        reasons=tuple(reasons),
        checks=(*quality, *limits),
        needed=_needed(quality) if verdict == "inconclusive" else None,
        alpha=policy.alpha,
        look=look,
        n=scorecard.n,
        policy_digest=policy.digest,
        dataset_id=scorecard.dataset_id,
        student=scorecard.models.get(STUDENT, ""),
        reference=scorecard.reference,
        teacher_source=scorecard.teacher_source,
    )


def freshness_problems(scorecard: Scorecard, freshness: Freshness | None) -> list[Reason]:
    """Return why the scorecard does not speak of what is true now; ask again after a person has approved."""
    if freshness is None:
        return [Reason("unverified", "Nothing says which dataset and model are in force now.")]
    pairs = (
        ("dataset", scorecard.dataset_id, freshness.dataset_id),
        ("held-out file", scorecard.heldout_sha256, freshness.heldout_sha256),
        ("student", scorecard.models.get(STUDENT, ""), freshness.student_model),
        ("incumbent", scorecard.models.get("incumbent"), freshness.incumbent_model),
    )
    return [
        Reason("stale", f"The {what} has changed since the answers were scored.")
        for what, then, now in pairs
        if then != now or then == ""
    ]


def _roles(scorecard: Scorecard, policy: PromotionPolicy, freshness: Freshness | None) -> tuple[str, ...]:
    """Return whom the student must be compared with."""
    live = "incumbent" in scorecard.models or (
        freshness is not None and freshness.incumbent_model is not None
    )
    return (
        "teacher",
        *(("untuned",) if policy.beat_untuned else ()),
        *(("incumbent",) if live else ()),
    )


def _distrust(
    scorecard: Scorecard,
    policy: PromotionPolicy,
    freshness: Freshness | None,
    look: int,
    roles: tuple[str, ...],
) -> Iterator[Reason]:
    yield from freshness_problems(scorecard, freshness)
    if not 1 <= look <= policy.looks:
        yield Reason(
            "looks-used", f"Look {look} at this student; the policy planned {policy.looks}. Judge a new one."
        )
    if policy.require_golden and not scorecard.references.get(GOLDEN):
        yield Reason(
            "no-labels", "The policy asks for answers that people gave; no item has one. Give dataset.golden."
        )
        return
    for role in (STUDENT, *roles):
        yield from _role_problems(scorecard, policy, role)
    for slice_name in dict.fromkeys(("", _deciding(scorecard, policy))):
        for rule in policy.metrics:
            for role in roles:
                yield from _metric_problems(scorecard, policy, rule, role, slice_name)


def _deciding(scorecard: Scorecard, policy: PromotionPolicy) -> str:
    """Return the slice whose items decide: the golden ones where the policy asks for them, else all."""
    return GOLDEN if policy.require_golden and scorecard.reference != GOLDEN else ""


def _role_problems(scorecard: Scorecard, policy: PromotionPolicy, role: str) -> Iterator[Reason]:
    summary = scorecard.summary(role)
    if summary is None or not summary.answers:
        yield Reason("missing-role", f"There are no answers of the {role}.")
        return
    share = summary.errors / summary.answers
    if share > policy.max_error_share:
        yield Reason(
            "errors", f"{summary.errors} of {summary.answers} answers of the {role} failed ({share:.1%})."
        )
    if len(summary.parameters) > 1:
        yield Reason("mixed-parameters", f"The {role} answered under different inference parameters.")


def _metric_problems(
    scorecard: Scorecard, policy: PromotionPolicy, rule: MetricRule, role: str, slice_name: str
) -> Iterator[Reason]:
    comparison = scorecard.comparison(rule.name, role, slice_name)
    where = _where(slice_name)
    if comparison is None or comparison.estimate is None or not comparison.n:
        yield Reason("missing-metric", f"{rule.name} is not compared with the {role}{where}.")
        return
    items = comparison.n + comparison.missing
    if comparison.missing / items > policy.max_missing_share:
        yield Reason(
            "missing-scores",
            f"{rule.name}{where}: {comparison.missing} of {items} items lack a score of the student or the {role}.",
        )


def _quality(scorecard: Scorecard, policy: PromotionPolicy, roles: tuple[str, ...]) -> list[Check]:
    """Return a check for each primary metric and role, then one for each guard."""
    primary = [
        _primary_check(rule, comparison, policy)
        for rule in policy.primary
        for role in roles
        if (comparison := _usable(scorecard, rule.name, role, _deciding(scorecard, policy))) is not None
    ]
    guards = [_guard_check(rule, c, policy) for rule, c in _guarded(scorecard, policy, roles)]
    return [*_alarms(primary, policy.look_alpha), *_alarms(guards, policy.look_alpha)]


def _usable(scorecard: Scorecard, metric: str, role: str, slice_name: str) -> Comparison | None:
    comparison = scorecard.comparison(metric, role, slice_name)
    return comparison if comparison is not None and comparison.n else None


def _guarded(
    scorecard: Scorecard, policy: PromotionPolicy, roles: tuple[str, ...]
) -> Iterator[tuple[MetricRule, Comparison]]:
    """Yield the comparisons that can only stop: other metrics over all items, and every metric inside slices."""
    rules = {rule.name: rule for rule in policy.metrics}
    deciding = _deciding(scorecard, policy)
    for c in scorecard.comparisons:
        rule = rules.get(c.metric)
        if rule is None or c.against not in roles or c.against == "untuned" or not c.n:
            continue
        if c.slice == deciding and rule.primary:
            continue
        if policy.guard_slices or not c.slice or c.slice == deciding:
            yield rule, c


def _shadow_distrust(shadow: Scorecard, scorecard: Scorecard, policy: PromotionPolicy) -> Iterator[Reason]:
    """Yield why live prompts say nothing of this candidate, or that it fails on them."""
    for role in (STUDENT, "incumbent"):
        if shadow.n and shadow.models.get(role) != scorecard.models.get(role):
            yield Reason("stale", f"The {role} has changed since live prompts were played.")
    if shadow.n < policy.min_slice_items:
        yield Reason(
            "shadow-too-few",
            f"{shadow.n} live prompts were played; the policy needs {policy.min_slice_items} (min_slice_items).",
        )
        return
    summary = shadow.summary(STUDENT)
    if summary is None or not summary.answers:
        yield Reason("shadow-too-few", "The student answered no live prompt.")
    elif summary.errors / summary.answers > policy.max_error_share:
        yield Reason(
            "shadow-errors",
            f"{summary.errors} of {summary.answers} answers to live prompts failed "
            f"({summary.errors / summary.answers:.1%}).",
        )
    elif policy.max_p95_latency_ms is not None and (summary.latency_p95_ms or 0) > policy.max_p95_latency_ms:
        yield Reason(
            "shadow-latency",
            f"95 % of the answers to live prompts came within {summary.latency_p95_ms:,.0f} ms; the limit is "
            f"{policy.max_p95_latency_ms:,.0f} ms.",
        )


def _shadow_guards(shadow: Scorecard, policy: PromotionPolicy) -> Iterator[tuple[MetricRule, Comparison]]:
    """Yield how the student compares on live prompts, by metric and role; like slices, these can only stop.

    The comparison with the teacher is of answers that it was just asked for, so it scores 1 and the margin is the policy's.
    """
    for rule in policy.metrics:
        for role in ("incumbent", "teacher"):
            c = _usable(shadow, rule.name, role, "")
            if c is not None:
                yield rule, replace(c, slice=LIVE_PROMPTS)


def _primary_check(rule: MetricRule, c: Comparison, policy: PromotionPolicy) -> Check:
    alpha, limit = policy.look_alpha, -rule.margin_to(c.against) + 0.0
    worse_than = min(limit, 0.0)
    if c.n < policy.min_items:
        needed = max(policy.min_items - c.n, _further(c, limit, alpha, policy.power) or 0)
        return _check("quality", "open", c, limit, needed=needed)
    p_pass = c.p_at_most(limit)
    return _check(
        "quality",
        "pass" if p_pass <= alpha else "open",
        c,
        limit,
        bound=c.lower(alpha),
        p_pass=p_pass,
        p_worse=c.p_at_least(worse_than),
        needed=None if p_pass <= alpha else _further(c, limit, alpha, policy.power),
    )


def _guard_check(rule: MetricRule, c: Comparison, policy: PromotionPolicy) -> Check:
    limit = -rule.margin_to(c.against)
    least = policy.min_slice_items if c.slice else policy.min_items
    if c.n < least:
        return _check("guard", "skipped", c, limit)
    return _check("guard", "pass", c, limit, bound=c.upper(policy.look_alpha), p_worse=c.p_at_least(limit))


def _check(
    code: str,
    outcome: str,
    c: Comparison,
    limit: float,
    *,
    bound: float | None = None,
    p_pass: float | None = None,
    p_worse: float | None = None,
    needed: int | None = None,
) -> Check:
    return Check(
        code=code,
        outcome=outcome,
        metric=c.metric,
        against=c.against,
        slice=c.slice,
        n=c.n,
        estimate=c.estimate,
        bound=bound,
        limit=limit,
        p_pass=p_pass,
        p_worse=p_worse,
        needed=needed,
    )


def _further(c: Comparison, limit: float, alpha: float, power: float) -> int | None:
    total = c.items_needed(limit, alpha, power)
    return None if total is None else max(total - c.n, 1)


def _alarms(checks: Sequence[Check], alpha: float) -> list[Check]:
    """Mark as worse what Holm's method finds so among these checks."""
    tested = sorted((check.p_worse, index) for index, check in enumerate(checks) if check.p_worse is not None)
    worse: set[int] = set()
    for rank, (p, index) in enumerate(tested):
        if p > alpha / (len(tested) - rank):
            break
        worse.add(index)
    return [replace(check, outcome="worse") if i in worse else check for i, check in enumerate(checks)]


def _incumbent_checks(
    scorecard: Scorecard, policy: PromotionPolicy, roles: tuple[str, ...], given_away: Mapping[str, float]
) -> Iterator[Check]:
    """Yield what keeps the incumbent, whatever the intervals say: a student that scored no better, and slow decay.

    Without a margin of its own against the incumbent, a primary metric must come out above it: a tie keeps what is live.
    With one, successive releases may together give away no more than the margin against the teacher.
    """
    if "incumbent" not in roles:
        return
    for rule in policy.primary:
        c = _usable(scorecard, rule.name, "incumbent", _deciding(scorecard, policy))
        if c is None or c.estimate is None or c.n < policy.min_items:
            continue
        if rule.incumbent_margin is None:
            better = c.estimate > SAME_SCORE
            yield _check("not-worse", "pass" if better else "fail", c, 0.0)
        else:
            total = min(0.0, given_away.get(rule.name, 0.0) + c.estimate)
            kept = total >= -rule.margin
            yield replace(
                _check("given-away", "pass" if kept else "fail", c, -rule.margin), estimate=round(total, 9)
            )


def _cost_checks(policy: PromotionPolicy, costs: Costs | None) -> Iterator[Check]:
    known = costs or Costs()
    yield from _limit("run-cost", known.run_usd, policy.max_run_usd)
    yield from _limit("monthly-cost", known.student_monthly_usd, policy.max_monthly_usd)
    if policy.require_break_even:
        # the limit counts as reached only when the student is cheaper than staying with the teacher
        yield from _limit("break-even", known.student_monthly_usd, known.teacher_monthly_usd, asked=True)
    yield from _limit("payback", known.payback_days, policy.max_payback_days)
    if policy.payback_within_life:
        yield from _life_checks(known)


def _life_checks(costs: Costs) -> Iterator[Check]:
    """Yield whether the run pays for itself at all, and before the student's base model ends; nothing where unknown."""
    if costs.saves_high_usd is not None and costs.saves_high_usd <= 0:
        yield Check(code="nothing-to-save", outcome="fail", estimate=costs.saves_high_usd, limit=0.0)
    elif costs.payback_days is not None and costs.life_days is not None:
        yield from _limit("payback-beyond-life", costs.payback_days, costs.life_days)


def _latency_checks(scorecard: Scorecard, policy: PromotionPolicy) -> Iterator[Check]:
    summary = scorecard.summary(STUDENT)
    found = summary.latency_p95_ms if summary else None
    yield from _limit("latency", found, policy.max_p95_latency_ms)


def _limit(code: str, figure: float | None, limit: float | None, *, asked: bool = False) -> Iterator[Check]:
    """Yield a check when a limit is set; an unknown figure does not pass it."""
    if limit is None and not asked:
        return
    good = figure is not None and limit is not None and figure <= limit
    yield Check(code=code, outcome="pass" if good else "fail", estimate=figure, limit=limit)


def _verdict(
    distrust: Sequence[Reason],
    quality: Sequence[Check],
    limits: Sequence[Check],
    better_not: Sequence[Reason] = (),
) -> tuple[str, list[Reason]]:
    worse = [_worse(check) for check in quality if check.outcome == "worse"]
    crossed = [_crossed(check) for check in limits if check.outcome == "fail" and check.code != "not-worse"]
    kept = [_crossed(check) for check in limits if check.outcome == "fail" and check.code == "not-worse"]
    unsettled = [_unsettled(check) for check in quality if check.outcome == "open"]
    shown = [_shown(check) for check in quality if check.code == "quality" and check.outcome == "pass"]
    for verdict, first in (
        ("hold", list(distrust)),
        ("reject", worse),
        ("reject", list(better_not)),
        ("hold", crossed),
        ("inconclusive", unsettled),
        ("hold", kept),
    ):
        if first:
            rest = [
                r
                for group in (distrust, worse, better_not, crossed, unsettled, kept)
                for r in group
                if r not in first
            ]
            return verdict, [*first, *rest]
    if not shown:
        return "hold", [Reason("no-evidence", "Nothing was compared.")]
    return "promote", shown


def _better_not(scorecard: Scorecard, policy: PromotionPolicy, costs: Costs | None) -> Iterator[Reason]:
    """Yield why not to distil: an untuned model shown to be within the margins of the teacher, and no more expensive.

    The bound on a challenger's own score must lie above the teacher's less the margin, on every primary metric. Where items
    are scored against the teacher's answers the teacher scores 1, so this is exact; against people's answers the pairing
    is not used, which errs towards distilling. An unknown price is not cheaper.
    """
    student = scorecard.summary(STUDENT)
    for role in CHALLENGERS:
        found = scorecard.summary(role)
        if found is None or not found.answers or found.errors / found.answers > policy.max_error_share:
            continue
        if found.usd is None or student is None or student.usd is None or found.usd > student.usd:
            continue
        if not all(_within(scorecard, rule, role, policy) for rule in policy.primary):
            continue
        bill = f"its answers to {found.answers} prompts cost {found.usd:,.4f} USD, the student's {student.usd:,.4f} USD"
        if costs is not None and costs.run_usd is not None:
            bill += f", and this run {costs.run_usd:,.2f} USD"
        yield Reason(
            "do-not-distil",
            f"Do not distil: {found.model}, untuned, is within the margin of the teacher, and no more expensive: {bill}.",
        )


def _within(scorecard: Scorecard, rule: MetricRule, role: str, policy: PromotionPolicy) -> bool:
    """Whether a role is shown to be within a rule's margin of the teacher."""
    place = _deciding(scorecard, policy)
    mine, teachers = scorecard.metric(rule.name, role, place), scorecard.metric(rule.name, "teacher", place)
    bound = mine.interval.low if mine is not None and mine.interval is not None else None
    mean = teachers.mean if teachers is not None else None
    if mine is None or bound is None or mine.n < policy.min_items or scorecard.alpha > policy.look_alpha:
        return False
    return mean is not None and bound > mean - rule.margin


def _needed(quality: Iterable[Check]) -> int | None:
    """Return the further prompts that settle every open check; None when one of them cannot be settled."""
    numbers = [check.needed for check in quality if check.outcome == "open"]
    known = [number for number in numbers if number is not None]
    return max(known) if known and len(known) == len(numbers) else None


def _worse(check: Check) -> Reason:
    code = "worse" if check.code == "quality" else "worse-slice" if check.slice else "worse-guard"
    return Reason(code, f"{_what(check)}: {_points(check.estimate)}; allowed: {_points(check.limit)}.")


def _unsettled(check: Check) -> Reason:
    if check.bound is None:
        return Reason("too-few", f"{_what(check)}: {check.n} prompts are too few to judge.")
    leaning = "" if (check.estimate or 0.0) > (check.limit or 0.0) else "; so far it is not"
    more = (
        f"{check.needed} further prompts would settle it"
        if check.needed
        else "no practical number of further prompts would settle it"
    )
    return Reason(
        "open",
        f"{_what(check)}: {_points(check.estimate)}, at worst {_points(check.bound)}; "
        f"required: {_required(check.limit)}{leaning}; {more}.",
    )


def _shown(check: Check) -> Reason:
    return Reason(
        "shown",
        f"{_what(check)}: {_points(check.estimate)}, at worst {_points(check.bound)}; "
        f"required: {_required(check.limit)}.",
    )


def _crossed(check: Check) -> Reason:
    if check.code == "not-worse":
        return Reason(
            "incumbent-kept",
            f"{_what(check)}: {_points(check.estimate)}; required: above. A tie keeps the incumbent.",
        )
    if check.code == "given-away":
        return Reason(
            "given-away",
            f"{_what(check)}: with this release, successive releases add up to {_points(check.estimate)}; "
            f"allowed: {_points(check.limit)}.",
        )
    if check.code == "nothing-to-save":
        return Reason(
            check.code,
            f"Not worth it: nothing to save, at best {check.estimate or 0.0:,.2f} USD a month "
            "(policy.payback_within_life).",
        )
    if check.code == "payback-beyond-life":
        return Reason(
            check.code,
            f"It pays for itself after {check.estimate or 0.0:,.0f} days; its base model ends in {check.limit or 0.0:,.0f} "
            "(policy.payback_within_life).",
        )
    if check.estimate is None or check.limit is None:
        return Reason(
            f"{check.code}-unknown", f"{check.code} is limited by the policy, but no figure is available."
        )
    return Reason(check.code, f"{check.code} is {check.estimate:,.2f}; the limit is {check.limit:,.2f}.")


def _what(check: Check) -> str:
    return f"{check.metric} against the {check.against}{_where(check.slice)}"


def _where(slice_name: str) -> str:
    if slice_name == GOLDEN:
        return " over the golden prompts"
    if slice_name == LIVE_PROMPTS:
        return " over live prompts"
    return f" where {slice_name}" if slice_name else ""


def _required(limit: float | None) -> str:
    return f"better than {_points(limit)}" if limit else "better"


def _points(value: float | None) -> str:
    """Return a difference of scores in points of a hundred, with its direction."""
    if value is None:
        return "unknown"
    points = f"{abs(value) * 100:.2f}".rstrip("0").rstrip(".")
    return "equal" if points == "0" else f"{points} points {'below' if value < 0 else 'above'}"
