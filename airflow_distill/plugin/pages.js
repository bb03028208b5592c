/* The pages in Airflow: Workloads (nav, dashboard), Evaluation (Dag run), Approval (task). One ES module, no build step.
 *
 * Airflow's own React, router and Chakra UI are globals of the host; nothing else is loaded. Every text goes into the page
 * as a text node. Reads ./api/ with the user's own session; writes nothing. Names below are those of plugin.py.
 */
const { React, ChakraUI: C, ReactRouterDOM: R } = globalThis;
const { createElement: h, useState, useEffect, Fragment } = React;
const API = new URL("./api/", import.meta.url);
const part = encodeURIComponent;
const B = (props, ...kids) => h(C.Box, props, ...kids);
const T = (...kids) => h(C.Text, { as: "span", color: "fg.muted", fontSize: "sm" }, ...kids);
const V = (name) => `var(--chakra-colors-${name})`;
const INK = { fg: V("fg"), soft: V("fg-muted"), line: V("border-emphasized"), good: V("green-fg"), bad: V("red-fg"), odd: V("orange-fg"), blue: V("blue-fg") };

/* --- figures and times in words ------------------------------------------------------------------------------------- */
const zone = () => {
  try {
    const z = JSON.parse(localStorage.getItem("timezone"));
    new Intl.DateTimeFormat("en", { timeZone: z });
    return z;
  } catch { return undefined; }
};
const date = (iso) => {
  const d = new Date(iso);
  if (!iso || isNaN(d)) return "unknown";
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", timeZone: zone() }).format(d);
};
const zoneName = () => zone() || Intl.DateTimeFormat().resolvedOptions().timeZone;
const age = (iso) => {
  const s = (Date.parse(iso) - Date.now()) / 1000;
  if (isNaN(s)) return "unknown";
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]].find((u) => Math.abs(s) >= u[1]) || ["second", 1];
  return new Intl.RelativeTimeFormat("en", { numeric: "always" }).format(Math.round(s / size), unit);
};
const When = ({ at, rel }) => h("time", { dateTime: at, title: `${date(at)} (${zoneName()})` }, rel ? age(at) : date(at));
const num = (v, digits = 0) => (v == null ? "unknown" : v.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits }).replace("-", "−"));
const usd = (v) => (v == null ? "unknown" : `${num(v, Math.abs(v) < 0.1 && v !== 0 ? 4 : 2)} USD`);
const signed = (v) => (v == null ? "unknown" : `${v < 0 ? "−" : v > 0 ? "+" : ""}${Math.abs(v).toFixed(3)}`);
const words = (s) => String(s).replaceAll(/[_-]/g, " ");
const tail = (arn) => { const s = String(arn || ""); return s.length > 44 ? `…${s.slice(-40)}` : s; };
const ROLE = { teacher: "Teacher", untuned: "Untuned student", student: "Distilled student", incumbent: "Live model" };
const role = (r) => ROLE[r] || r;
const versus = (d) => `${d.metric}${d.slice ? ` where ${d.slice}` : ""}, student minus ${role(d.against).toLowerCase()}`;

/* --- small parts ------------------------------------------------------------------------------------------------------ */
const LOOK = {
  promote: ["green", "✓"], released: ["green", "✓"], fine: ["green", "✓"], pass: ["green", "✓"], ended: ["green", "✓"],
  hold: ["orange", "‖"], open: ["blue", "…"], waiting: ["blue", "…"], running: ["blue", "▸"], inconclusive: ["purple", "?"],
  reject: ["red", "✕"], failed: ["red", "✕"], rolled_back: ["red", "↶"], withdrawn: ["red", "✕"], drifting: ["orange", "!"],
  failing: ["red", "!"], worse: ["red", "✕"], fail: ["red", "✕"], untrusted: ["orange", "!"], skipped: ["gray", "–"],
};
const Mark = ({ word, say }) => {
  const [palette, sign] = LOOK[word] || ["gray", "·"];
  return h(C.Badge, { colorPalette: palette, color: "fg", bg: `${palette}.muted`, size: "sm", whiteSpace: "nowrap" }, h("span", { "aria-hidden": true }, sign), ` ${say || words(word)}`);
};
const A = ({ to, children }) => h(C.Link, { asChild: true, display: "inline", color: "fg", textDecoration: "underline", overflowWrap: "anywhere" }, h(R.Link, { to }, children));
const Section = ({ title, children, note }) =>
  B({ as: "section", mt: 6, minW: 0 }, h(C.Heading, { as: "h3", size: "md", mb: 2 }, title), note ? B({ mb: 2 }, T(note)) : null, children);
const Said = ({ said, does, kind = "info", children }) =>
  B({ role: kind === "bad" ? "alert" : "status", borderWidth: 1, borderLeftWidth: 4, borderColor: "border", borderLeftColor: kind === "bad" ? "orange.solid" : "blue.solid", borderRadius: "md", p: 4, my: 3, maxW: "52rem", overflowWrap: "anywhere" },
    B({ fontWeight: "medium" }, said), does ? B({ color: "fg.muted", mt: 1 }, does) : null, children);
const Facts = ({ rows }) =>
  B({ as: "dl", display: "grid", gridTemplateColumns: { base: "1fr", sm: "max-content 1fr" }, columnGap: 6, rowGap: 1 },
    ...rows.filter((r) => r).flatMap(([name, value]) => [B({ as: "dt", color: "fg.muted", key: name, mt: { base: 1, sm: 0 } }, name), B({ as: "dd", key: name + "v", minW: 0, overflowWrap: "anywhere" }, value)]));
const Code = ({ children, whole }) => B({ as: "code", fontFamily: "mono", fontSize: "xs", overflowWrap: "anywhere", title: whole || children }, children);
const Table = ({ caption, head, rows, left = 1 }) =>
  B({ overflowX: "auto", tabIndex: 0, role: "region", "aria-label": caption },
    B({ as: "table", fontSize: "sm", w: head.length > 4 ? "full" : "auto", minW: { base: "full", md: "28rem" }, css: { borderCollapse: "collapse", fontVariantNumeric: "tabular-nums" } },
      B({ as: "caption", textAlign: "left", position: "absolute", w: "1px", h: "1px", overflow: "hidden", clipPath: "inset(50%)" }, caption),
      h("thead", null, h("tr", null, ...head.map((t, i) => B({ as: "th", scope: "col", key: i, textAlign: i < left ? "left" : "right", fontWeight: "medium", color: "fg.muted", px: 2, py: 1, verticalAlign: "bottom" }, t)))),
      h("tbody", null, ...rows.map((row, j) => B({ as: "tr", key: j, borderTopWidth: 1, borderColor: "border" },
        ...row.map((cell, i) => B({ as: i ? "td" : "th", scope: i ? undefined : "row", key: i, textAlign: i < left ? "left" : "right", fontWeight: "normal", px: 2, py: 1.5, verticalAlign: "top", overflowWrap: i < left ? "anywhere" : "normal", minW: i ? (i < left ? "8rem" : undefined) : "7rem" }, cell)))))));

function useJson(path) {
  const [state, set] = useState({ loading: true });
  useEffect(() => {
    if (!path) return undefined;
    const stop = new AbortController();
    set({ loading: true });
    fetch(new URL(path, API), { credentials: "same-origin", signal: stop.signal, headers: { Accept: "application/json" } })
      .then((a) => a.json().catch(() => ({ problem: { said: `Airflow answered ${a.status}.`, do: "Try again; look at the api-server's log." } })))
      .then((data) => set(data.problem ? { problem: data.problem } : { data }))
      .catch((e) => { if (e.name !== "AbortError") set({ problem: { said: "Airflow cannot be reached.", do: "Try again." } }); });
    return () => stop.abort();
  }, [path]);
  return state;
}
const Load = ({ path, children }) => {
  const { loading, problem, data } = useJson(path);
  if (loading) return B({ role: "status", p: 4, color: "fg.muted" }, "Reading…");
  return problem ? h(Said, { said: problem.said, does: problem.do, kind: "bad" }) : children(data);
};
const Page = ({ children }) => B({ "data-distill": "page", p: { base: 3, md: 5 }, maxW: "90rem", minW: 0, overflowWrap: "anywhere", h: "full", overflowY: "auto" }, children);

/* --- charts: plain SVG, each with its sentence ------------------------------------------------------------------------ */
const edgeOf = (values) => [0.02, 0.05, 0.1, 0.2, 0.5].find((e) => values.every((v) => Math.abs(v) <= e)) || 1;
const tell = (d) =>
  `${versus(d)}: ${signed(d.estimate)}` + (d.low != null ? `, ${d.high != null ? `between ${signed(d.low)} and ${signed(d.high)}` : `at least ${signed(d.low)}`}` : ", too few prompts for an interval") + (d.limit != null ? `; must lie above ${signed(d.limit)}` : "");
function Interval({ d, edge, wide = 200 }) {
  const known = [d.estimate, d.low, d.high, d.limit].filter((v) => v != null);
  if (d.estimate == null) return T("nothing to compare");
  const e = edge || edgeOf(known), x = (v) => 6 + ((wide - 12) * (Math.max(-e, Math.min(e, v)) + e)) / (2 * e);
  const ink = d.outcome === "pass" ? INK.good : d.outcome === "worse" ? INK.bad : INK.fg;
  const high = d.high ?? Math.max(d.estimate, e);
  return h("svg", { role: "img", "aria-label": tell(d), viewBox: `0 0 ${wide} 33`, style: { width: "100%", maxWidth: wide, height: "auto", display: "block" } },
    h("title", null, tell(d)),
    h("line", { x1: 6, x2: wide - 6, y1: 13, y2: 13, stroke: INK.line }),
    h("line", { x1: x(0), x2: x(0), y1: 5, y2: 21, stroke: INK.soft }),
    d.limit != null && h("line", { x1: x(d.limit), x2: x(d.limit), y1: 1, y2: 24, stroke: INK.bad, strokeWidth: 1.5, strokeDasharray: "3 2" }),
    d.low != null && h("line", { x1: x(d.low), x2: x(high), y1: 13, y2: 13, stroke: ink, strokeWidth: 5, strokeLinecap: "round" }),
    h("circle", { cx: x(d.estimate), cy: 13, r: 4.5, fill: V("bg"), stroke: ink, strokeWidth: 2 }),
    h("g", { style: { fontSize: "8px" }, fill: INK.soft }, h("text", { x: 2, y: 31 }, signed(-e)), h("text", { x: x(0), y: 31, textAnchor: "middle" }, "0"), h("text", { x: wide - 2, y: 31, textAnchor: "end" }, signed(e))));
}
function Chart({ label, tall = 130, lines = [], children, marks }) {
  const top = Math.max(...marks.map((m) => m.at)), low = Math.min(...marks.map((m) => m.at)), y = (v) => 10 + ((tall - 30) * (top - v)) / (top - low || 1);
  return h("svg", { role: "img", "aria-label": label, viewBox: `0 0 480 ${tall}`, style: { width: "100%", maxWidth: 640, height: "auto", display: "block" } },
    h("title", null, label),
    ...marks.map((m, i) => h("g", { key: i }, h("line", { x1: 58, x2: 475, y1: y(m.at), y2: y(m.at), stroke: INK.line, strokeWidth: 0.6 }), h("text", { x: 54, y: y(m.at) + 3, style: { fontSize: "9px" }, fill: INK.soft, textAnchor: "end" }, m.say))),
    ...lines.map((l, i) => h("g", { key: `l${i}` }, h("line", { x1: 58, x2: 475, y1: y(l.at), y2: y(l.at), stroke: INK.bad, strokeDasharray: "4 3" }), h("text", { x: 475, y: y(l.at) - 3, style: { fontSize: "9px" }, fill: INK.soft, textAnchor: "end" }, l.say))),
    children(y));
}
const slot = (i, n) => 66 + (400 / Math.max(n, 1)) * (i + 0.5);
const nice = (v) => { const p = 10 ** Math.floor(Math.log10(v || 1)); return [1, 2, 2.5, 5, 10].map((k) => k * p).find((k) => k >= v) || v; };
function Bars({ label, rows, line }) {
  const most = nice(Math.max(...rows.map((r) => r.parts.reduce((a, b) => a + b, 0)), line ? line.at : 0, 1e-9));
  const wide = Math.min(36, 300 / rows.length);
  return h(Chart, { label, marks: [0, most / 2, most].map((at) => ({ at, say: num(at, most < 10 ? 1 : 0) })), lines: line ? [line] : [] },
    (y) => rows.map((r, i) => {
      let from = 0;
      return h("g", { key: i }, ...r.parts.map((v, k) => { const b = h("rect", { key: k, x: slot(i, rows.length) - wide / 2, width: wide, y: y(from + v), height: Math.max(0, y(from) - y(from + v)), fill: k ? INK.odd : INK.blue }); from += v; return b; }),
        h("text", { x: slot(i, rows.length), y: 126, style: { fontSize: "9px" }, fill: INK.soft, textAnchor: "middle" }, r.name));
    }));
}
const inkOf = (word) => ({ green: INK.good, red: INK.bad, orange: INK.odd, blue: INK.blue })[(LOOK[word] || [])[0]] || INK.soft;
function Verdicts({ rows }) {
  const seen = rows.filter((r) => r.estimate != null);
  if (!seen.length) return T("No verdict has compared anything yet.");
  const e = edgeOf(seen.flatMap((r) => [r.estimate, r.low, r.high, r.limit].filter((v) => v != null))), last = seen[seen.length - 1];
  const label = `${seen.length} verdicts over time; the last: ${last.outcome}, difference ${signed(last.estimate)}`;
  return h(Chart, { label, marks: [-e, 0, e].map((at) => ({ at, say: signed(at) })), lines: last.limit != null ? [{ at: last.limit, say: `margin ${signed(last.limit)}` }] : [] },
    (y) => seen.map((r, i) => h("g", { key: i }, h("title", null, `${date(r.at)}: ${r.outcome}`),
      r.low != null && h("line", { x1: slot(i, seen.length), x2: slot(i, seen.length), y1: y(Math.max(-e, r.low)), y2: y(Math.min(e, r.high ?? e)), stroke: inkOf(r.outcome), strokeWidth: 3 }),
      h("circle", { cx: slot(i, seen.length), cy: y(r.estimate), r: 4.5, fill: V("bg"), stroke: inkOf(r.outcome), strokeWidth: 2 }),
      (seen.length < 9 || i % 4 === 0) && h("text", { x: slot(i, seen.length), y: 126, style: { fontSize: "9px" }, fill: INK.soft, textAnchor: "middle" }, r.at.slice(5, 10)))));
}
function Timeline({ rows }) {
  const label = `${rows.length} releases: ${rows.map((r) => `${r.release} ${words(r.outcome)}`).join(", ")}`;
  return h("svg", { role: "img", "aria-label": label, viewBox: "0 0 480 56", style: { width: "100%", maxWidth: 640, height: "auto", display: "block" } },
    h("title", null, label), h("line", { x1: 20, x2: 475, y1: 22, y2: 22, stroke: INK.line }),
    ...rows.map((r, i) => { const x = slot(i, rows.length); return h("g", { key: i }, h("circle", { cx: x, cy: 22, r: 9, fill: V("bg"), stroke: inkOf(r.outcome), strokeWidth: 2.5 }),
      h("text", { x, y: 25.5, style: { fontSize: "9px" }, fill: INK.fg, textAnchor: "middle" }, r.release),
      (rows.length < 10 || i % 4 === 0) && h("text", { x, y: 46, style: { fontSize: "9px" }, fill: INK.soft, textAnchor: "middle" }, r.at.slice(5, 10))); }));
}

/* --- what a workload's row says --------------------------------------------------------------------------------------- */
const here = (w) => `/plugin/distill-workloads/${part(w.dag_id)}/${part(w.workload)}`;
const runAt = (s, tab = "") => `/dags/${part(s.dag_id)}/runs/${part(s.run_id)}${tab}`;
const taskAt = (s, tab = "") => runAt(s, `/tasks/${part(s.task_id)}${s.map_index >= 0 ? `/mapped/${s.map_index}` : ""}${tab}`);
const Live = ({ w }) => w.live ? h(Fragment, null, `release ${w.live.release}, `, h(When, { at: w.live.since, rel: true })) : "nothing yet";
const Verdict = ({ w }) => {
  const v = w.verdict;
  if (!v) return T("none yet");
  return h(Fragment, null, w.question ? h(Mark, { word: "waiting", say: "waits for a person" }) : h(Mark, { word: v.outcome }), " ", T(h(When, { at: v.at, rel: true })),
    v.deciding ? B({ mt: 1 }, h(Interval, { d: v.deciding, wide: 180 })) : null,
    v.needed ? B(null, T(`${num(v.needed)} more prompts would settle it`)) : null);
};
const Spent = ({ w }) => {
  const m = w.money || {}, v = (m.spent || {})[w.month] || 0;
  const full = m.cap_usd ? Math.min(100, (100 * v) / m.cap_usd) : 0;
  return h(Fragment, null, m.cap_usd != null ? `${usd(v)} of ${usd(m.cap_usd)}` : `${usd(v)}, no cap`,
    m.cap_usd ? B({ role: "img", "aria-label": `${Math.round(full)} per cent of the cap`, h: "6px", maxW: "9rem", borderRadius: "full", bg: "bg.emphasized", mt: 1, overflow: "hidden" }, B({ h: "full", w: `${full}%`, bg: full >= 100 ? "red.solid" : "blue.solid" })) : null);
};
const Saved = ({ w }) => { const m = w.money || {}; return m.saved_usd == null ? "unknown" : `${usd(m.saved_usd)}${m.saved_low != null ? ` (${num(m.saved_low, 2)} to ${num(m.saved_high, 2)})` : ""}`; };
const Bills = ({ w }) => {
  const m = w.money || {};
  if (!m.billed_at) return "not looked up yet";
  return h(Fragment, null, m.unpriced ? "unknown" : usd(m.usd_a_day), " a day", m.endless ? B(null, T(`${m.endless} ${m.endless > 1 ? "hosts" : "host"} without an end date`)) : null);
};
const Soon = ({ w }) => { const n = w.next; return !n ? h(A, { to: `/dags/${part(w.dag_id)}` }, "by its Dag") : n.missing != null ? `${num(n.missing)} prompts missing of ${num(n.threshold)}` : h(When, { at: n.at, rel: true }); };
const Well = ({ w }) => w.health ? h(Mark, { word: w.health.state }) : "not watched";
const Needs = ({ w }) => {
  const a = w.attention;
  if (!a) return T("nothing");
  const to = a.code === "approval" && w.question ? taskAt(w.question, "/plugin/distill-approval") : a.code === "failed" && w.failure ? taskAt(w.failure) : null, until = a.until ? h(Fragment, null, ", until ", h(When, { at: a.until })) : "";
  return h(Fragment, null, h(Mark, { word: a.grave < 3 ? "failed" : a.grave < 7 ? "hold" : "open", say: words(a.code) }), " ", to ? h(A, { to }, a.said, until) : h(Fragment, null, a.said, until));
};
const FIELDS = [["Needs a person", Needs], ["Live", Live], ["Last verdict", Verdict], ["Spent this month", Spent], ["Saves a month, by forecast", Saved], ["Still bills", Bills], ["Next run", Soon], ["Health", Well]];
const SORTS = {
  "What needs a person": (w) => (w.attention ? w.attention.grave : 99), Name: (w) => w.workload,
  "Newest verdict": (w) => -(Date.parse(w.verdict && w.verdict.at) || 0), "Most spent": (w) => -(((w.money || {}).spent || {})[w.month] || 0),
  "Most billed a day": (w) => -((w.money || {}).usd_a_day || 0), "Oldest release": (w) => Date.parse(w.live && w.live.since) || 9e15,
};
const SHOWN = { All: () => true, "Needs a person": (w) => w.attention, Live: (w) => w.live, "Nothing live": (w) => !w.live, "Waits for approval": (w) => w.question, Failed: (w) => w.failure };
const sorted = (list, sort) => { const key = SORTS[sort]; return [...list].sort((a, b) => { const x = key(a), y = key(b); return x < y ? -1 : x > y ? 1 : a.workload < b.workload ? -1 : 1; }); };
const Pick = ({ label, options, value, onChange }) =>
  B({ as: "label", display: "flex", flexDirection: "column", fontSize: "sm", color: "fg.muted", gap: 1 }, label,
    B({ as: "select", value, onChange: (e) => onChange(e.target.value), bg: "bg", color: "fg", borderWidth: 1, borderColor: "border.emphasized", borderRadius: "md", px: 2, h: 9, maxW: "full" }, ...options.map((o) => (Array.isArray(o) ? h("option", { key: o[0], value: o[0], disabled: o[2] }, o[1]) : h("option", { key: o, value: o }, o)))));

const First = () => h(Said, { said: "No workload has told anything yet.", does: "Describe one in a workload file, run its Dag once, and it stands here from its first task on. For runs that are older than these pages:" }, B({ mt: 2 }, h(Code, null, "airflow-distill status WORKLOAD --root s3://BUCKET/PREFIX --write")));
function Rows({ list }) {
  return B({ as: "ul", listStyleType: "none", display: "grid", gap: 3, gridTemplateColumns: "minmax(0, 1fr)" }, ...list.map((w) =>
    B({ as: "li", key: w.dag_id + w.workload, borderWidth: 1, borderColor: "border", borderRadius: "md", p: 3, minW: 0 },
      B({ display: "flex", flexWrap: "wrap", gap: 2, alignItems: "baseline", mb: 2 }, h(C.Heading, { as: "h3", size: "sm" }, h(A, { to: here(w) }, w.workload)), T(w.teacher ? `${tail(w.teacher)} → ${tail(w.student)}` : "")),
      B({ as: "dl", display: "grid", gridTemplateColumns: { base: "minmax(0, 1fr)", sm: "repeat(2, minmax(0, 1fr))", lg: "repeat(4, minmax(0, 1fr))", xl: "1.7fr 1fr 1.6fr 1.3fr 1fr 1fr 1fr 0.9fr" }, gap: 3 },
        ...FIELDS.map(([name, Field]) => B({ key: name, minW: 0 }, B({ as: "dt", fontSize: "xs", color: "fg.muted" }, name), B({ as: "dd", fontSize: "sm", overflowWrap: "anywhere" }, h(Field, { w }))))))));
}
function List() {
  const [find, setFind] = useState(""), [sort, setSort] = useState("What needs a person"), [only, setOnly] = useState("All");
  return h(Page, null, h(C.Heading, { as: "h2", size: "xl", mb: 1 }, "Workloads"),
    h(Load, { path: "workloads" }, (data) => {
      const list = data.workloads, found = sorted(list.filter((w) => SHOWN[only](w) && w.workload.toLowerCase().includes(find.toLowerCase())), sort);
      const needs = list.filter((w) => w.attention).length, day = list.reduce((a, w) => a + ((w.money || {}).usd_a_day || 0), 0);
      if (!list.length) return data.hidden ? h(Said, { said: "You may see no Dag that runs a workload.", does: "Ask whoever administers Airflow for read access to the Dag." }) : h(First);
      return h(Fragment, null,
        B({ mb: 4 }, T(`${list.length} workload${list.length > 1 ? "s" : ""}; ${needs} need${needs === 1 ? "s" : ""} a person; what is known bills ${usd(day)} a day. Times are in ${zoneName()}.`)),
        data.unreadable ? h(Said, { said: `${data.unreadable} status records cannot be read.`, does: "`airflow-distill status WORKLOAD --root ROOT --write` makes one anew.", kind: "bad" }) : null,
        B({ display: "flex", flexWrap: "wrap", gap: 3, mb: 4, role: "search", "aria-label": "Workloads" },
          B({ as: "label", display: "flex", flexDirection: "column", fontSize: "sm", color: "fg.muted", gap: 1 }, "Name contains", h(C.Input, { value: find, onChange: (e) => setFind(e.target.value), type: "search", size: "sm", h: 9, maxW: "14rem" })),
          h(Pick, { label: "Show", options: Object.keys(SHOWN), value: only, onChange: setOnly }), h(Pick, { label: "Sort by", options: Object.keys(SORTS), value: sort, onChange: setSort })),
        B({ role: "status", mb: 2 }, T(found.length === list.length ? "" : `${found.length} of ${list.length} shown`)),
        found.length ? h(Rows, { list: found }) : h(Said, { said: "No workload is like that.", does: "Change the name or what is shown." }));
    }));
}
function Workload({ dag, name }) {
  return h(Page, null, B({ mb: 2, fontSize: "sm" }, h(A, { to: "/plugin/distill-workloads" }, "All workloads")), h(C.Heading, { as: "h2", size: "xl", mb: 1 }, name),
    h(Load, { path: `dags/${part(dag)}/workloads/${part(name)}` }, (d) => h(Blocks, { d })));
}
function Workloads() {
  const [dag, name] = (R.useParams()["*"] || "").split("/");
  return name ? h(Workload, { dag, name, key: name }) : h(List);
}
function Card() {
  return B({ "data-distill": "card", minW: 0 }, h(C.Heading, { as: "h2", size: "md", mb: 2 }, h(A, { to: "/plugin/distill-workloads" }, "Distillation workloads")),
    h(Load, { path: "workloads" }, ({ workloads: list }) => {
      if (!list.length) return T("No workload has told anything yet: run its Dag once.");
      const first = sorted(list.filter((w) => w.attention), "What needs a person").slice(0, 5);
      return h(Fragment, null, T(`${list.length} known, ${list.filter((w) => w.live).length} live. `, first.length ? "First:" : "Nothing needs a person."),
        B({ as: "ul", listStyleType: "none", mt: 2, display: "grid", gap: 2 }, ...first.map((w) => B({ as: "li", key: w.workload, fontSize: "sm", overflowWrap: "anywhere" }, h(A, { to: here(w) }, w.workload), ": ", h(Needs, { w })))));
    }));
}

/* --- pages that Airflow's server lays out as blocks: see blocks.py ---------------------------------------------------- */
function Text({ base, id, workload }) {
  const [state, set] = useState(null);
  const show = () => {
    set({ loading: true });
    fetch(new URL(`${base}/texts/${id}?workload=${part(workload)}`, API), { credentials: "same-origin", headers: { "X-Distill-Reveal": "click" } })
      .then((a) => a.json()).then(set).catch(() => set({ problem: { said: "Airflow cannot be reached." } }));
  };
  if (!state) return h(C.Button, { size: "xs", variant: "outline", onClick: show, "aria-label": `Show the text of ${id}` }, "Show text");
  if (state.loading) return "Reading…";
  if (state.problem) return state.problem.said;
  return B({ textAlign: "left", minW: "16rem" }, ...Object.entries(state.texts).map(([r, t]) => B({ key: r, mb: 2 }, T(role(r)), B({ as: "pre", whiteSpace: "pre-wrap", fontSize: "xs", fontFamily: "mono", overflowWrap: "anywhere" }, t))));
}
const CELLS = {
  at: (c) => h(When, { at: c.at, rel: c.rel }), usd: (c) => usd(c.usd), signed: (c) => signed(c.signed), score: (c) => (c.score == null ? "unknown" : c.score.toFixed(3)),
  num: (c) => (c.num == null ? "unknown" : num(c.num) + (c.unit ? ` ${c.unit}` : "")), mark: (c) => h(Mark, { word: c.mark, say: c.say }), code: (c) => h(Code, { whole: c.whole }, c.code),
  a: (c) => h(A, { to: c.to }, c.a), soft: (c) => T(...[c.soft].flat().map((x, i) => h(Cell, { c: x, key: i }))), d: (c) => B({ minW: "11rem", display: "inline-block", textAlign: "left" }, h(Interval, { d: c.d, edge: c.edge, wide: 180 }), T(signed(c.d.estimate))),
  text: (c, d) => h(Text, { id: c.text, base: d.base, workload: d.workload }),
};
function Cell({ c, d }) {
  if (c == null) return "–";
  if (typeof c !== "object") return typeof c === "number" ? num(c) : c;
  if (Array.isArray(c)) return h(Fragment, null, ...c.map((x, i) => h(Cell, { c: x, d, key: i })));
  const kind = Object.keys(CELLS).find((k) => k in c);
  return kind ? CELLS[kind](c, d) : "–";
}
const BLOCKS = {
  said: (b, cell) => h(Said, { said: cell(b.said), does: b.do && cell(b.do), kind: b.bad ? "bad" : "info" }, b.link && B({ mt: 2 }, cell(b.link))),
  line: (b, cell) => B({ mt: 2 }, cell(b.line)), list: (b, cell) => B({ as: "ul", ps: 5, mt: 2, listStyleType: "disc" }, ...b.list.map((x, i) => h("li", { key: i }, cell(x)))),
  facts: (b, cell) => B({ mt: 2 }, h(Facts, { rows: b.facts.map(([name, c]) => [name, cell(c)]) })), interval: (b) => B({ mt: 3, maxW: "34rem" }, h(Interval, { d: b.interval, wide: 420 }), T(tell(b.interval), ".")),
  rows: (b, cell) => {
    const table = h(Table, { caption: b.caption, head: b.head, left: b.left, rows: b.rows.map((r) => r.map(cell)) });
    return b.folded ? B({ as: "details", mt: 1, fontSize: "sm" }, B({ as: "summary", cursor: "pointer", color: "fg.muted", w: "max-content" }, "The figures"), table) : table;
  },
  pick: (b, cell, d, set) => B({ my: 2, maxW: "30rem" }, h(Pick, { label: b.pick, value: b.value, options: b.options.map(([value, c, at]) => [value, at ? `${date(at)}, ${c}` : c]), onChange: (v) => set(b.name, v) })),
  verdicts: (b) => h(Verdicts, { rows: b.verdicts }), releases: (b) => h(Timeline, { rows: b.releases }), bars: (b) => h(Bars, { label: b.label, rows: b.bars, line: b.cap }),
};
function Blocks({ d, set }) {
  const cell = (c) => h(Cell, { c, d }), block = (b, i) => { const kind = Object.keys(BLOCKS).find((k) => k in b); return kind ? h(Fragment, { key: i }, BLOCKS[kind](b, cell, d, set)) : null; };
  return h(Fragment, null, ...d.blocks.map(block), B({ display: "grid", gridTemplateColumns: { base: "minmax(0, 1fr)", xl: d.columns ? "repeat(2, minmax(0, 1fr))" : "minmax(0, 1fr)" }, columnGap: 8 },
    ...(d.sections || []).map((s, i) => h(Section, { key: s.title, title: s.title, note: s.note }, ...s.blocks.map(block)))));
}
function Tab({ title, path }) {
  const [ask, setAsk] = useState({});
  const set = (name, value) => setAsk((was) => (name === "workload" ? { workload: value } : { ...was, [name]: value }));
  const query = new URLSearchParams(Object.entries(ask).filter(([, v]) => v));
  return h(Page, null, h(C.Heading, { as: "h2", size: "lg", mb: 1 }, title), h(Load, { path: `${path}?${query}` }, (d) => h(Blocks, { d, set })));
}
const Evaluation = ({ dagId, runId }) => h(Tab, { title: "Evaluation", path: `dags/${part(dagId)}/runs/${part(runId)}/evaluation` });
const Approval = ({ dagId, runId, taskId }) => h(Tab, { title: "Approval", path: `dags/${part(dagId)}/runs/${part(runId)}/tasks/${part(taskId)}/approval` });

/* Airflow finds a page by its name, and imports a URL once; so all pages are told at once. */
Object.assign(globalThis, { Workloads, Distillation: Card, Evaluation, Approval });
globalThis.AirflowPlugin ??= Workloads;
