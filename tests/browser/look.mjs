// Look at pages in a real Chromium; print one JSON of what was found, for test_page.py to judge.
// node look.mjs CHROMIUM PROFILE PAGE...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const LOOKS = { light: [1200, "light"], dark: [1200, "dark"], phone: [320, "light"], "phone dark": [360, "dark"] };
const FINGER = 24; // pixels a side, at least (WCAG 2.2, 2.5.8)
const A4 = 718; // pixels between margins of 1 cm

// What a page says of itself; runs in the page.
function measured(finger) {
  const figures = [...document.querySelectorAll("img, svg")];
  const hidden = (element) => !element.checkVisibility({ contentVisibilityAuto: false }) || !element.getBoundingClientRect().height;
  return {
    over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    figures: figures.length,
    nameless: figures.filter((f) => !f.getAttribute("alt") && !f.getAttribute("aria-label")).length,
    broken: [...document.images].filter((image) => !image.naturalWidth).length,
    hidden: [...document.querySelectorAll("details table, details pre")].filter(hidden).length,
    small: [...document.querySelectorAll("nav a, summary, th button")].filter((e) => e.checkVisibility()).map((e) => e.getBoundingClientRect())
      .filter((box) => Math.min(box.width, box.height) < finger).length,
    landmarks: document.querySelectorAll("main, header, footer, nav, [role=region]").length,
    cut: [...document.querySelectorAll(".scroll")].filter((s) => s.scrollWidth > s.clientWidth + 1).map((s) => s.getAttribute("aria-label")),
  };
}

// Sort the first sortable table by each of its columns, with the keyboard alone.
async function sorted(page) {
  const table = page.locator("table.sortable").first(), found = [];
  if (!(await table.count())) return found;
  for (let column = 0; column < (await table.locator("thead th").count()); column++) {
    for (const key of ["Enter", "Space"]) {
      if (key === "Enter") await page.keyboard.press("Tab"); // from the region to its first head, then from head to head
      await page.keyboard.press(key);
      found.push(await table.evaluate((t, c) => ({
        focused: document.activeElement === t.tHead.rows[0].cells[c].querySelector("button"),
        aria: [...t.tHead.rows[0].cells].map((head) => head.getAttribute("aria-sort")),
        values: [...t.tBodies[0].rows].map((row) => row.cells[c].dataset.value ?? row.cells[c].textContent.trim()),
      }), column));
    }
  }
  return found;
}

// Print to PDF; say how many parts were closed on paper and how many are again afterwards.
async function printed(page) {
  const closed = () => document.querySelectorAll("details:not([open])").length;
  const before = await page.evaluate(closed);
  await page.evaluate(() => addEventListener("beforeprint", () => (window.paper = document.querySelectorAll("details:not([open])").length)));
  const pdf = await page.pdf({ format: "A4" });
  return { before, paper: await page.evaluate(() => window.paper), after: await page.evaluate(closed), pdf: pdf.subarray(0, 5).toString(), bytes: pdf.length };
}

// Walk through the page by Tab: where the focus goes, whether it is seen there, whether it comes out again.
async function walked(page) {
  const stops = [];
  for (let last = null; stops.length < 2000; stops.push(last)) {
    await page.keyboard.press("Tab");
    last = await page.evaluate(() => {
      const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
      const seen = style.outlineStyle !== "none" && box.width > 0 && box.right > 0 && box.bottom > 0 && box.top < innerHeight;
      return e === document.body ? null : { seen, what: `${e.tagName} ${(e.getAttribute("aria-label") ?? e.textContent).trim().slice(0, 40)}` };
    });
    if (!last) break;
  }
  return { first: stops[0]?.what, stops: stops.length, unseen: stops.filter((s) => !s.seen).map((s) => s.what) };
}

// How the page grows with the reader's letters, and what high contrast leaves of it; runs in the page.
function grown() {
  const size = () => parseFloat(getComputedStyle(document.querySelector("main p")).fontSize), before = size();
  document.documentElement.style.fontSize = "200%";
  const found = { times: size() / before, over: document.documentElement.scrollWidth - document.documentElement.clientWidth };
  document.documentElement.style.fontSize = "";
  return found;
}

async function violations(page) {
  await page.evaluate(() => document.querySelectorAll("details").forEach((part) => (part.open = true)));
  await page.evaluate(AXE); // by the debugger: the page's policy lets no other script run
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(", ")}`);
}

async function look(context, file) {
  const page = await context.newPage(), own = pathToFileURL(file).href;
  const found = { errors: [], requests: [], looks: {}, axe: {} };
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && found.errors.push(message.text()));
  page.on("pageerror", (error) => found.errors.push(String(error)));
  page.on("request", (request) => request.url() !== own && !request.url().startsWith("data:") && found.requests.push(request.url()));
  for (const [name, [width, colorScheme]] of Object.entries(LOOKS)) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    await page.goto(own);
    found.looks[name] = await page.evaluate(measured, FINGER);
    if (name === "light" || name === "phone dark") found.axe[name] = await violations(page); // each theme, each width
  }
  await page.goto(own);
  found.grown = await page.evaluate(grown);
  await page.emulateMedia({ reducedMotion: "reduce" }); // and nothing glides: each stop is seen at once
  found.walked = await walked(page);
  await page.emulateMedia({ reducedMotion: null });
  await page.emulateMedia({ forcedColors: "active", colorScheme: "dark" });
  found.forced = await page.evaluate(() => ({
    bars: [...document.querySelectorAll("td.bar span")].filter((bar) => getComputedStyle(bar).backgroundColor === getComputedStyle(document.body).backgroundColor).length,
    ink: getComputedStyle(document.querySelector("figure svg text") ?? document.body).fill,
    text: getComputedStyle(document.body).color,
  }));
  await page.emulateMedia({ forcedColors: null, colorScheme: null });
  await page.setViewportSize({ width: A4, height: 1000 });
  await page.emulateMedia({ media: "print" });
  found.looks.paper = await page.evaluate(measured, FINGER);
  await page.emulateMedia({ media: null });
  found.printed = await printed(page);
  if (await page.locator(".scroll:has(table.sortable)").count()) await page.locator(".scroll:has(table.sortable)").first().focus();
  found.sorted = await sorted(page);
  await page.close();
  return found;
}

const [executablePath, profile, ...files] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS });
const found = {};
try {
  await Promise.all(files.map(async (file) => (found[file] = await look(context, file))));
} finally {
  await context.close();
}
console.log(JSON.stringify(found));
