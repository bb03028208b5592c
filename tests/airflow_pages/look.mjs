/* Looks at pages in headless Chromium, as a person would, and prints what it saw as JSON.
 *
 * node look.mjs SPEC.json: {base, chromium, looks: [{name, path, token, width, dark, picture, keys, click}]}.
 * Needs playwright-core and axe-core (package.json); Chromium is the machine's own.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const spec = JSON.parse(readFileSync(process.argv[2], "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: spec.chromium, args: ["--no-sandbox", "--disable-gpu"] });
const told = [];
const contexts = new Map();

/* One context for all looks of a user in a theme at a size, so that Airflow's own interface is fetched once. */
async function contextFor(look) {
  const size = { width: look.width || 1440, height: look.height || 1000 };
  const key = JSON.stringify([size, Boolean(look.dark), look.token]);
  if (!contexts.has(key)) {
    const context = await browser.newContext({
      viewport: size,
      colorScheme: look.dark ? "dark" : "light",
      timezoneId: "Europe/Berlin",
      locale: "en-GB",
      reducedMotion: "reduce",
    });
    await context.addInitScript((dark) => localStorage.setItem("theme", dark ? "dark" : "light"), Boolean(look.dark));
    if (look.token) await context.addCookies([{ name: "_token", value: look.token, url: spec.base }]);
    contexts.set(key, context);
  }
  return contexts.get(key);
}

for (const look of spec.looks) {
  const errors = [];
  const foreign = [];
  const page = await (await contextFor(look)).newPage();
  page.setDefaultTimeout(120000);
  page.on("console", (m) => m.type() === "error" && errors.push(m.text().slice(0, 300)));
  page.on("pageerror", (e) => errors.push(String(e).slice(0, 300)));
  page.on("dialog", (d) => { errors.push(`a dialog: ${d.message()}`); d.dismiss(); });
  page.on("request", (r) => !r.url().startsWith(spec.base) && !/^(data|blob):/.test(r.url()) && foreign.push(r.url().slice(0, 200)));
  const saw = { name: look.name, width: look.width, dark: Boolean(look.dark) };
  try {
    await page.goto(spec.base + look.path, { waitUntil: "domcontentloaded" });
    await page.waitForSelector("[data-distill]", { state: "attached", timeout: 120000 });
    await page.waitForFunction(() => !document.querySelector("[data-distill]")?.textContent.includes("Reading…"), null, { timeout: 120000 });
    for (const name of look.click || []) await page.getByRole("button", { name }).first().click();
    if (look.click) await page.waitForTimeout(1500);
    await page.waitForTimeout(400);
    Object.assign(saw, await page.evaluate(() => {
      const root = document.querySelector("[data-distill]");
      const out = [...root.querySelectorAll("*")].filter((e) => !e.closest("svg") && !e.closest("[role=region]") && e.getBoundingClientRect().right > root.getBoundingClientRect().right + 1);
      return {
        text: root.innerText,
        pwned: Boolean(globalThis.pwned),
        scripts: root.querySelectorAll("script, iframe, img, object, embed, link").length,
        handlers: [...root.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => a.name.startsWith("on"))).length,
        links: [...root.querySelectorAll("a")].map((a) => a.getAttribute("href")),
        wide: root.scrollWidth - root.clientWidth,
        outside: out.slice(0, 5).map((e) => `${e.tagName}: ${e.textContent.slice(0, 60)}`),
        pages: document.querySelectorAll("[data-distill]").length,
      };
    }));
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run({ include: [["[data-distill]"]] }, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], rules: { region: { enabled: false }, "page-has-heading-one": { enabled: false } } }));
    saw.axe = found.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} ${n.any[0]?.message ?? ""}`) }));
    if (look.keys) {
      await page.evaluate(() => { const r = document.querySelector("[data-distill]"); r.tabIndex = -1; r.focus(); });
      const path = [];
      for (let i = 0; i < look.keys; i += 1) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(() => {
          const e = document.activeElement;
          if (!e.closest("[data-distill]")) return null;
          const style = getComputedStyle(e);
          return { tag: e.tagName, said: (e.getAttribute("aria-label") || e.labels?.[0]?.innerText || e.innerText || "").slice(0, 60), seen: style.outlineStyle !== "none" || style.boxShadow !== "none" };
        });
        if (!at) break;
        path.push(at);
      }
      saw.keys = path;
    }
    if (look.picture) await page.screenshot({ path: look.picture });
  } catch (error) {
    errors.push(`look: ${String(error).slice(0, 300)}`);
  }
  told.push({ ...saw, errors, foreign });
  await page.close();
}
await browser.close();
console.log(JSON.stringify(told));
