// Look at pages in a real Chromium; print one JSON of what was found, for test_page.py to judge.
// node look.mjs CHROMIUM PROFILE PAGE...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const LOOKS = { light: [1200, "light"], dark: [1200, "dark"], phone: [360, "light"], "phone dark": [360, "dark"] };
const A4 = 718; // pixels between margins of 1 cm

// What a page says of itself; runs in the page.
function measured() {
  const figures = [...document.querySelectorAll("img, svg")];
  const hidden = (element) => !element.checkVisibility({ contentVisibilityAuto: false }) || !element.getBoundingClientRect().height;
  return {
    over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    figures: figures.length,
    nameless: figures.filter((f) => !f.getAttribute("alt") && !f.getAttribute("aria-label")).length,
    broken: [...document.images].filter((image) => !image.naturalWidth).length,
    hidden: [...document.querySelectorAll("details table, details pre")].filter(hidden).length,
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
    found.looks[name] = await page.evaluate(measured);
    if (name === "light" || name === "phone dark") found.axe[name] = await violations(page); // each theme, each width
  }
  await page.goto(own);
  await page.setViewportSize({ width: A4, height: 1000 });
  await page.emulateMedia({ media: "print" });
  found.looks.paper = await page.evaluate(measured);
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
