"""Lays out what a page says, as blocks that the script draws; pure.

A page is `{"blocks": [...], "sections": [{"title", "note", "blocks"}]}`. A block has one telling key: `said` (a
notice, with `do`), `line`, `list`, `facts`, `rows` (a table), `interval`, `pick` (a choice), `verdicts`, `releases` or
`bars` (charts). A cell is text, a number, a list of cells, None, or a mapping with one telling key: `at` (a time, shown
in the user's zone), `usd`, `num` with `unit`, `signed`, `score`, `mark` (an outcome), `code`, `a` with `to` (a link within
Airflow), `soft` or `d` (a difference with its interval). So units and words are decided here, and tested without a browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from airflow_distill.stages.evaluation.report import short

Block = dict[str, Any]
ROLE_NAMES = {
    "teacher": "Teacher",
    "untuned": "Untuned student",
    "student": "Distilled student",
    "incumbent": "Live model",
    "challenger-1": "Challenger 1",
    "challenger-2": "Challenger 2",
    "challenger-3": "Challenger 3",
}
NOT_WATCHED = "not watched"


def link(text: str, to: str) -> Block:
    """Return a link within Airflow."""
    return {"a": text, "to": to}


def code(value: str) -> Block:
    """Return an ARN or a digest by what tells it from others; the whole of it is its title."""
    return {"code": short(value), "whole": value}


def path(*parts: str) -> str:
    """Return a path of Airflow's own router."""
    return "".join(f"/{quote(each, safe='')}" for each in parts)


def run_path(dag_id: str, run_id: str, page: str = "") -> str:
    """Return where a Dag run, or a tab of it, is."""
    return path("dags", dag_id, "runs", run_id) + (f"/plugin/{page}" if page else "")


def task_path(step: Mapping[str, Any], page: str = "") -> str:
    """Return where a task of a run, or a tab of it, is."""
    found = run_path(str(step["dag_id"]), str(step["run_id"])) + path("tasks", str(step["task_id"]))
    index = step.get("map_index", -1)
    found += path("mapped", str(index)) if isinstance(index, int) and index >= 0 else ""
    return f"{found}/{page}" if page else found


def workload_path(dag_id: str, workload: str) -> str:
    """Return where a workload's own page is."""
    return "/plugin/distill-workloads" + path(dag_id, workload)


def _words(code: Any) -> str:
    return str(code).replace("_", " ").replace("-", " ")


def _role(name: Any) -> str:
    return ROLE_NAMES.get(str(name), str(name))


def _section(title: str, *blocks: Block | None, note: str = "") -> Block:
    return {"title": title, "note": note, "blocks": [each for each in blocks if each]}


def _table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], *, left: int = 1, folded: bool = False
) -> Block:
    return {
        "caption": caption,
        "head": list(head),
        "rows": [list(row) for row in rows],
        "left": left,
        "folded": folded,
    }


# --- one workload -----------------------------------------------------------------------------------------------------


def workload_layout(w: Mapping[str, Any]) -> Block:
    """Return the page of one workload from its status, as `views.workload_page` gives it."""
    blocks: list[Block] = [
        {
            "line": {
                "soft": f"{w.get('teacher') or 'teacher unknown'} → {w.get('student') or 'student unknown'}"
            }
        }
    ]
    for found in w["attentions"]:
        until = [", until ", {"at": found["until"]}] if found.get("until") else []
        block: Block = {"said": [found["said"], *until], "do": found.get("do"), "bad": found["grave"] < 7}
        if found["code"] == "approval" and w.get("question"):
            block["link"] = link("Look at what is asked", task_path(w["question"], "plugin/distill-approval"))
        if found["code"] == "failed" and w.get("failure"):
            block["link"] = link("Look at the task", task_path(w["failure"]))
        blocks.append(block)
    blocks.append({"facts": _workload_facts(w)})
    return {
        "blocks": blocks,
        "columns": True,
        "sections": [_last_verdict(w), _releases(w), _verdicts(w), _spend(w), _datasets(w)],
    }


def _workload_facts(w: Mapping[str, Any]) -> list[list[Any]]:
    live, step, money, health = w.get("live"), w.get("step"), w.get("money") or {}, w.get("health")
    saved: Any = "unknown: the report of a run works it out"
    if money.get("saved_usd") is not None:
        saved = [{"usd": money["saved_usd"]}]
        if money.get("saved_low") is not None:
            saved += [
                " (between ",
                {"usd": money["saved_low"]},
                " and ",
                {"usd": money.get("saved_high")},
                ")",
            ]
        saved += [f" against {money['saved_against']}"] if money.get("saved_against") else []
    rows = [
        ["Live", [f"release {live['release']}, since ", {"at": live["since"]}] if live else "nothing yet"],
        ["Saves a month, by forecast", saved],
        ["Still bills", _bills(money)],
        ["Next run", _next(w)],
        [
            "Health of the live student",
            [{"mark": health["state"]}, f" {health.get('said', '')} ", {"soft": {"at": health["at"]}}]
            if health
            else NOT_WATCHED,
        ],
    ]
    if step:
        run = (str(step["dag_id"]), str(step["run_id"]))
        rows += [
            [
                "Last step",
                [
                    link(step["task_id"], task_path(step)),
                    " ",
                    {"mark": step.get("state", "running")},
                    " ",
                    {"soft": {"at": step["at"]}},
                ],
            ],
            ["Last Dag run", link(run[1], run_path(*run, "distill-evaluation"))],
        ]
    if live and live.get("model_arn"):
        rows.append(["Model that answers", {"code": live["model_arn"]}])
    if w.get("report_uri"):
        rows.append(["Last report", {"code": w["report_uri"]}])
    return [*rows, ["Status written", {"at": w.get("at") or ""}]]


def _bills(money: Mapping[str, Any]) -> Any:
    if not money.get("billed_at"):
        return "not looked up yet: `airflow-distill status --write` asks the account"
    cells: list[Any] = [{"usd": None if money.get("unpriced") else money.get("usd_a_day")}, " a day"]
    if money.get("most_usd"):
        cells += ["; at most ", {"usd": money["most_usd"]}, " until the end dates"]
    if money.get("endless"):
        cells.append(f"; {money['endless']} without an end")
    return [*cells, " ", {"soft": ["looked up ", {"at": money["billed_at"]}]}]


def _next(w: Mapping[str, Any]) -> Any:
    found = w.get("next")
    if not found:
        return link("see its Dag", path("dags", w["dag_id"])) if w.get("dag_id") else "unknown"
    if found.get("missing") is not None:
        return f"{found['missing']:,} prompts missing of {found.get('threshold') or 0:,}"
    return {"at": found.get("at", "")}


def _last_verdict(w: Mapping[str, Any]) -> Block:
    v = w.get("verdict")
    if not v:
        return _section(
            "Last verdict",
            {"said": "Nothing was judged yet.", "do": "The first verdict comes at the end of the first run."},
        )
    return _section(
        "Last verdict",
        {
            "line": [
                {"mark": v["outcome"]},
                " ",
                {"soft": [{"at": v["at"]}, f", on {v.get('n', 0):,} held-out prompts"]},
            ]
        },
        {"interval": v["deciding"]} if v.get("deciding") else None,
        {"line": f"{v['needed']:,} more held-out prompts would settle it."} if v.get("needed") else None,
        {"list": list(v["reasons"])} if v.get("reasons") else None,
    )


def _releases(w: Mapping[str, Any]) -> Block:
    found = w["releases"]
    if not found:
        return _section(
            "Releases", {"line": {"soft": "No release yet: the first verdict “promote” makes one."}}
        )
    rows = [[each["release"], {"at": each["at"]}, {"mark": each["outcome"]}] for each in reversed(found)]
    return _section(
        "Releases",
        {"releases": found},
        _table("Releases", ["Release", "Ended", "How"], rows, left=3, folded=True),
    )


def _verdicts(w: Mapping[str, Any]) -> Block:
    found = w["verdicts"]
    rows = [
        [
            link(run, run_path(w["dag_id"], run, "distill-evaluation"))
            if (run := each.get("run_id"))
            else None,
            {"at": each["at"]},
            {"mark": each["outcome"]},
            {"signed": each.get("estimate")},
            {"signed": each.get("low")},
            {"signed": each.get("high")},
            each.get("n", 0),
        ]
        for each in reversed(found)
    ]
    head = ["Dag run", "When", "Verdict", "Difference", "From", "To", "Prompts"]
    return _section(
        "Verdicts over time",
        {"verdicts": found},
        _table("Verdicts", head, rows, left=3, folded=True) if found else None,
        note="The deciding difference with its interval; the dashed line is the margin.",
    )


def _month(month: str) -> str:
    return f"{month[:4]}-{month[4:]}"


def _spend(w: Mapping[str, Any]) -> Block:
    money = w.get("money") or {}
    spent, cap = dict(money.get("spent") or {}), money.get("cap_usd")
    note = "What the runs of a month were allowed to spend, in USD."
    if not spent:
        return _section("Spend a month", {"line": {"soft": "No run has asked for money yet."}}, note=note)
    said = ", ".join(f"{_month(month)} {usd:,.2f} USD" for month, usd in spent.items())
    bars: Block = {
        "label": f"Spend by month: {said}",
        "bars": [{"name": _month(month), "parts": [usd]} for month, usd in spent.items()],
        "cap": {"at": cap, "say": f"cap {cap:,.2f} USD"} if cap else None,
    }
    rows = [[_month(month), {"usd": usd}] for month, usd in spent.items()]
    return _section(
        "Spend a month", bars, _table("Spend a month", ["Month", "Spent"], rows, folded=True), note=note
    )


def _datasets(w: Mapping[str, Any]) -> Block:
    found = w["datasets"]
    note = "Records for training (blue) and held out (orange)."
    if not found:
        return _section("Dataset sizes", {"line": {"soft": "No dataset yet."}}, note=note)
    few = len(found) < 9
    bars = [
        {"name": each["at"][5:10] if few or i % 4 == 0 else "", "parts": [each["train"], each["heldout"]]}
        for i, each in enumerate(found)
    ]
    said = ", ".join(f"{each['train']:,} and {each['heldout']:,}" for each in found)
    rows = [
        [{"at": each["at"]}, {"code": each["dataset_id"]}, each["train"], each["heldout"]]
        for each in reversed(found)
    ]
    head = ["Window's end", "Dataset", "For training", "Held out"]
    return _section(
        "Dataset sizes",
        {"label": f"For training and held out: {said}", "bars": bars},
        _table("Datasets", head, rows, left=2, folded=True),
        note=note,
    )


# --- evaluation -------------------------------------------------------------------------------------------------------


def evaluation_layout(data: Mapping[str, Any], chosen: str = "") -> Block:
    """Return the evaluation tab from what `views.evaluation` gives.

    :param chosen: the evaluation that is compared with.
    """
    run, found = data["run"], data["evaluation"]
    blocks: list[Block] = [
        {
            "line": {
                "soft": ["Workload ", link(run["workload"], workload_path(run["dag_id"], run["workload"]))]
            }
        }
    ]
    if len(data["workloads"]) > 1:
        blocks.append(
            {
                "pick": "Workload",
                "name": "workload",
                "value": run["workload"],
                "options": [[name, name] for name in data["workloads"]],
            }
        )
    sections = []
    if found is None:
        step = run.get("step") or {}
        last = f"Its last word came from {step['task_id']} ({step.get('state', '')})." if step else ""
        blocks.append({"said": "This run has judged nothing yet.", "do": last})
    else:
        blocks += _outcome(found)
        sections = [
            _quality(found, data.get("baselines") or [], data.get("baseline"), chosen),
            _differences(found),
            _slices(found),
            _worst(found, texts=bool(data["texts"])),
            _judges(found),
            _section("Costs", _costs(found.get("costs"))),
        ]
    if data.get("dataset"):
        sections.append(_funnel(data["dataset"]))
    if run.get("report_uri"):
        sections.append(_section("Report", {"line": {"code": run["report_uri"]}}))
    base = run_path(run["dag_id"], run["run_id"]).removeprefix("/")
    return {"blocks": blocks, "sections": sections, "base": base, "workload": run["workload"]}


def _outcome(found: Mapping[str, Any]) -> list[Block]:
    mark = {"mark": found["outcome"]} if found.get("outcome") else {"soft": "not decided yet"}
    said = {"soft": [f"on {found['n']:,} held-out prompts, scored ", {"at": found.get("created_at") or ""}]}
    blocks: list[Block] = [{"line": [mark, " ", said]}]
    if found.get("needed"):
        blocks.append(
            {
                "said": f"{found['needed']:,} more held-out prompts would settle it.",
                "do": "Wait for more logs, or hold out a larger share of them.",
            }
        )
    if found.get("deciding"):
        blocks.append({"interval": found["deciding"]})
    return [*blocks, {"list": found["reasons"]}] if found["reasons"] else blocks


def _quality(
    found: Mapping[str, Any],
    baselines: Sequence[Mapping[str, Any]],
    baseline: Mapping[str, Any] | None,
    chosen: str,
) -> Block:
    reference = found.get("reference")
    note = (
        "Scored against the teacher's own logged answers, so the teacher scores 1 and a score is agreement with it."
        if reference == "teacher"
        else f"Reference answers: {reference}."
    )
    pick: Block | None = None
    if baselines:
        options: list[list[Any]] = [["", "no other run"]]
        for each in baselines:
            said = each["outcome"] + ("" if each["comparable"] else " (not comparable)")
            options.append([each["evaluation_id"], said, each["at"]])
        pick = {
            "pick": "Compare with an earlier run",
            "name": "baseline",
            "value": chosen,
            "options": options,
        }
    refused = None
    roles = list(found["roles"])
    if baseline and not baseline.get("comparable"):
        refused = {"said": "Not comparable.", "do": baseline["why"], "bad": True}
    elif baseline:
        roles.append({**baseline["role"], "name": ["Student of ", {"at": baseline["at"]}]})
    return _section("Quality, price, latency", pick, refused, _roles(roles, found["metric"]), note=note)


def _roles(roles: Sequence[Mapping[str, Any]], metric: str) -> Block:
    rows = []
    for each in roles:
        score = each["metrics"].get(metric) or {}
        low, high = score.get("low"), score.get("high")
        unpriced = each["role"] == "teacher" and each.get("usd") is None
        rows.append(
            [
                each.get("name") or _role(each["role"]),
                code(each["model"]),
                {"score": score.get("mean")},
                [{"score": low}, " to ", {"score": high}] if low is not None else None,
                each.get("errors"),
                {"num": each["latency_p50_ms"], "unit": "ms"}
                if each.get("latency_p50_ms") is not None
                else None,
                {"num": each["latency_p95_ms"], "unit": "ms"}
                if each.get("latency_p95_ms") is not None
                else None,
                "taken from the logs" if unpriced else {"usd": each.get("usd")},
            ]
        )
    head = [
        "Role",
        "Model",
        metric or "Score",
        "Interval",
        "Errors",
        "Median time",
        "95th percentile",
        "Price of its answers",
    ]
    return _table("Quality beside price and latency", head, rows, left=2)


def _differences(found: Mapping[str, Any]) -> Block:
    rows = [
        [
            each["metric"],
            _role(each["against"]),
            {"d": each},
            {"signed": each["limit"]} if each.get("limit") is not None else None,
            f"{each['better']:,} / {each['worse']:,}",
            {"mark": each["outcome"]} if each.get("outcome") else None,
        ]
        for each in found["differences"]
    ]
    head = ["Metric", "Against", "Difference", "Must exceed", "Better / worse", "Outcome"]
    return _section("Differences", _table("Student minus each other role", head, rows, left=3))


def _slices(found: Mapping[str, Any]) -> Block:
    shown = found["slices"]
    if not shown:
        none = {"line": {"soft": "The logs carry no request metadata to cut along."}}
        return _section("Slices, the greatest loss first", none)
    rows = [
        [each["slice"], each["n"], {"d": each}, {"mark": each["outcome"]} if each.get("outcome") else None]
        for each in shown
    ]
    more = found.get("slices_left_out")
    return _section(
        "Slices, the greatest loss first",
        _table("Slices", ["Slice", "Prompts", "Difference", "Outcome"], rows),
        {"line": {"soft": f"{more} more are in the report."}} if more else None,
        note=f"{found['metric']}, student minus {_role(found['against']).lower()}.",
    )


def _worst(found: Mapping[str, Any], *, texts: bool) -> Block:
    note = (
        "Named by digest. A click shows the text if you may edit this Dag; Airflow's audit log says who looked at which."
        if texts
        else "Named by digest. Texts stay in the bucket: `[airflow_distill] show_texts` is off."
    )
    if not found["worst"]:
        return _section("Worst cases", {"line": {"soft": "The student was worse on no prompt."}}, note=note)
    rows = [
        [
            {"code": each["example_id"]},
            each["metric"],
            _role(each["against"]),
            {"score": each["score"]},
            {"score": each["against_score"]},
            *([{"text": each["example_id"]}] if texts else []),
        ]
        for each in found["worst"]
    ]
    head = ["Prompt", "Metric", "Against", "Student", "Other", *(["Text"] if texts else [])]
    return _section("Worst cases", _table("Worst cases", head, rows, left=3), note=note)


def _judges(found: Mapping[str, Any]) -> Block:
    if not found["judges"]:
        return _section("Judge", {"line": {"soft": "No model judged: the scorers are rules."}})
    lines = [
        {
            "line": [
                {"mark": "pass", "say": "may gate"}
                if each.get("may_gate", True)
                else {"mark": "untrusted", "say": "may not gate"},
                " " + "; ".join(each.get("why") or ()) + " ",
                {"code": each.get("report_uri", "")},
            ]
        }
        for each in found["judges"]
    ]
    return _section("Judge", *lines)


def _costs(costs: Mapping[str, Any] | None) -> Block:
    if not costs:
        return {"line": {"soft": "No costs were worked out for this decision."}}
    per_day, payback = costs.get("tokens_per_day"), costs.get("payback_days")
    rows: list[list[Any]] = [
        ["This run", {"usd": costs.get("run_usd")}],
        ["A month of the student", {"usd": costs.get("student_monthly_usd")}],
        ["A month of the teacher", {"usd": costs.get("teacher_monthly_usd")}],
        ["Traffic these months assume", {"num": per_day, "unit": "tokens a day"}],
        ["Paid back after", "unknown" if payback is None else f"{payback:,.1f} days"],
        ["Price table of", costs.get("priced_at") or "unknown"],
    ]
    if costs.get("unknown"):
        rows.append(["Prices that are missing", ", ".join(costs["unknown"])])
    return {"facts": rows}


def _funnel(data: Mapping[str, Any]) -> Block:
    live = data.get("live")
    steps: list[tuple[str, int | None, str]] = [("Log records read", data["lines"], "lines")]
    steps += [(f"skipped: {_words(code)}", -n, "") for code, n in data["skipped"].items()]
    steps.append(("Kept by the reader", data["kept"], "kept"))
    steps += [(f"dropped: {_words(code)}", -n, "") for code, n in data["dropped"].items()]
    steps += [("For training", data["train"], "train"), ("Held out", data["heldout"], "heldout")]
    rows = []
    for name, n, key in steps:
        row: list[Any] = [name, n]
        if live:
            then = live.get(key) if key else None
            row += [then, f"{n - then:+,}" if then is not None and n is not None else None]
        rows.append(row)
    head = ["Step", "Records", *([f"Behind live release {live['release']}", "Difference"] if live else [])]
    start, end = data["window"]
    return _section(
        "Dataset",
        _table("From log records to prompts", head, rows),
        {
            "line": {
                "soft": [
                    "Dataset ",
                    {"code": data["dataset_id"]},
                    ", logs from ",
                    {"at": start},
                    " to ",
                    {"at": end},
                    ".",
                ]
            }
        },
    )


# --- approval ---------------------------------------------------------------------------------------------------------


def approval_layout(data: Mapping[str, Any], dag_id: str, run_id: str) -> Block:
    """Return the approval tab from what `views.approval` gives."""
    if not data["asks"]:
        do: Any = "Nobody is asked in this run."
        if data["asking"]:
            step = {"dag_id": dag_id, "run_id": run_id, "task_id": data["asking"]}
            do = [
                "The task that asks is ",
                link(data["asking"], task_path(step, "plugin/distill-approval")),
                ".",
            ]
        return {"blocks": [{"said": "This task asks nobody.", "do": do}]}
    blocks = [
        {"line": {"soft": ["Workload ", link(data["workload"], workload_path(dag_id, data["workload"]))]}},
        _question(data),
    ]
    fresh = data["fresh"]
    if not fresh["holds"]:
        now = f"release {fresh['live']}" if fresh["live"] else "nothing"
        then = f"release {fresh['judged']}" if fresh["judged"] else "nothing"
        said = f"Live is {now} now; this was judged against {then}."
        blocks.append({"said": said, "do": "A yes will not promote it: evaluate again.", "bad": True})
    sections = [_figures(data), _changes(data), _both_bills(data)]
    if data.get("dataset"):
        sections.append(_funnel(data["dataset"]))
    return {"blocks": blocks, "sections": [*sections, _digests(data), _way_back(data)]}


def _question(data: Mapping[str, Any]) -> Block:
    asked = data["question"]
    do: list[Any] = ["Asked ", {"at": asked["since"]}]
    do += ["; without an answer by ", {"at": asked["until"]}, " it is a hold"] if asked.get("until") else []
    do.append(f". Because {data['asked_because']}." if data.get("asked_because") else ".")
    said = (
        "This question was answered, or its time is over."
        if data["answered"]
        else "A promotion waits for an answer."
    )
    return {
        "said": said,
        "do": do,
        "link": link("Answer in Required actions", task_path(asked, "required_actions")),
    }


def _figures(data: Mapping[str, Any]) -> Block:
    decided = data.get("deciding")
    return _section(
        "What the figures say",
        {"line": [{"mark": data["verdict"]}, " ", {"soft": f"on {data['n']:,} held-out prompts"}]},
        {"interval": decided} if decided else None,
        {"list": data["reasons"]} if data["reasons"] else None,
        _roles(data["roles"], (decided or {}).get("metric", "")),
    )


def _changes(data: Mapping[str, Any]) -> Block:
    live, costs = data.get("live"), data.get("costs") or {}
    rows: list[list[Any]] = [
        ["Release", live["release"] if live else "nothing", live["release"] + 1 if live else 1],
        [
            "Model",
            code(live.get("model_arn") or "unknown") if live else None,
            code(data["new"]["model"]),
        ],
        [
            "Host",
            _words(live.get("host_kind") or "unknown") if live else None,
            _words(costs.get("host_kind") or "unknown"),
        ],
    ]
    return _section("What changes", _table("What changes", ["What", "Live now", "After a yes"], rows, left=3))


def _both_bills(data: Mapping[str, Any]) -> Block:
    return _section(
        "Both bills",
        _costs(data.get("costs")),
        {"facts": [["Exposure: what exists now bills", _bills(data.get("money") or {})]]},
    )


def _digests(data: Mapping[str, Any]) -> Block:
    rows = [
        [each["what"], {"code": each["digest"]}, {"at": each["at"]} if each.get("at") else None]
        for each in data["evidence"]
    ]
    rows.append(["what you are shown", {"code": data["shown"]}, None])
    return _section(
        "Evidence",
        _table("Evidence", ["What", "Digest", "Made"], rows, left=3),
        note="A yes counts for exactly these bytes.",
    )


def _way_back(data: Mapping[str, Any]) -> Block:
    back = data["back"]
    said = (
        f"Release {back['release']} stays until the new one has proven itself. Later, this brings it back:"
        if back["release"]
        else "Nothing is live, so nothing is replaced. To take a release back later:"
    )
    return _section("The way back", {"line": said}, {"line": {"code": back["command"]}})
