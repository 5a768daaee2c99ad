// Inspect pages in a real Chromium; print the findings as one JSON object for test_page.py.
// Usage: node look.mjs CHROMIUM PROFILE PAGE...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const LOOKS = {
  light: [1200, "light"],
  dark: [1200, "dark"],
  phone: [320, "light"],
  "phone dark": [360, "dark"],
};
const FINGER = 24; // the least pixels per side of a target (WCAG 2.2, 2.5.8)
const A4 = 718; // pixels between margins of 1 cm

// Return the measurements of a page; runs in the page.
function measure(finger) {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const figures = all("img, svg");
  const nameless = (f) => !f.getAttribute("alt") && !f.getAttribute("aria-label");
  const hidden = (e) =>
    !e.checkVisibility({ contentVisibilityAuto: false }) || !e.getBoundingClientRect().height;
  const small = (e) => {
    const box = e.getBoundingClientRect();
    return e.checkVisibility() && Math.min(box.width, box.height) < finger;
  };
  const cut = all(".scroll").filter((s) => s.scrollWidth > s.clientWidth + 1);
  return {
    over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    figures: figures.length,
    nameless: figures.filter(nameless).length,
    broken: [...document.images].filter((image) => !image.naturalWidth).length,
    hidden: all("details table, details pre").filter(hidden).length,
    small: all("nav a, summary, th button").filter(small).length,
    landmarks: all("main, header, footer, nav, [role=region]").length,
    cut: cut.map((s) => s.getAttribute("aria-label")),
  };
}

// Sort the first sortable table by each of its columns, with the keyboard alone.
async function sort(page) {
  const table = page.locator("table.sortable").first();
  const states = [];
  if (!(await table.count())) return states;
  const columns = await table.locator("thead th").count();
  for (let column = 0; column < columns; column++) {
    // From the region to its first head, then from head to head.
    await page.keyboard.press("Tab");
    for (const key of ["Enter", "Space"]) {
      await page.keyboard.press(key);
      states.push(await table.evaluate(tableState, column));
    }
  }
  return states;
}

// Return the focus, the order and the values of a column; runs in the page.
function tableState(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
  return {
    focused: document.activeElement === heads[column].querySelector("button"),
    aria: heads.map((head) => head.getAttribute("aria-sort")),
    values: cells.map((cell) => cell.dataset.value ?? cell.textContent.trim()),
  };
}

// Print to PDF; count the closed parts before, on paper and after.
async function print(page) {
  const closed = () => document.querySelectorAll("details:not([open])").length;
  const before = await page.evaluate(closed);
  await page.evaluate(() =>
    addEventListener("beforeprint", () => {
      window.paper = document.querySelectorAll("details:not([open])").length;
    }),
  );
  const pdf = await page.pdf({ format: "A4" });
  const paper = await page.evaluate(() => window.paper);
  const after = await page.evaluate(closed);
  return { before, paper, after, pdf: pdf.subarray(0, 5).toString(), bytes: pdf.length };
}

// Walk through the page by Tab; return where the focus goes and where it is invisible.
async function walk(page) {
  const stops = [];
  while (stops.length < 2000) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(focusedElement);
    if (!stop) break;
    stops.push(stop);
  }
  const unseen = stops.filter((stop) => !stop.seen).map((stop) => stop.what);
  return { first: stops[0]?.what, stops: stops.length, unseen };
}

// Return the focused element and whether its focus is visible, null for none; runs in the page.
function focusedElement() {
  const element = document.activeElement;
  if (element === document.body) return null;
  const box = element.getBoundingClientRect();
  const inside = box.width > 0 && box.right > 0 && box.bottom > 0 && box.top < innerHeight;
  const seen = getComputedStyle(element).outlineStyle !== "none" && inside;
  const text = (element.getAttribute("aria-label") ?? element.textContent).trim();
  return { seen, what: `${element.tagName} ${text.slice(0, 40)}` };
}

// Double the font size; return how the text and the page grow with it; runs in the page.
function grow() {
  const root = document.documentElement;
  const size = () => parseFloat(getComputedStyle(document.querySelector("main p")).fontSize);
  const before = size();
  root.style.fontSize = "200%";
  const growth = { times: size() / before, over: root.scrollWidth - root.clientWidth };
  root.style.fontSize = "";
  return growth;
}

// Return the invisible bars and the colors of drawings and text; runs in the page.
function colors() {
  const style = (element) => getComputedStyle(element);
  const background = style(document.body).backgroundColor;
  const bars = [...document.querySelectorAll("td.bar span")];
  return {
    bars: bars.filter((bar) => style(bar).backgroundColor === background).length,
    ink: style(document.querySelector("figure svg text") ?? document.body).fill,
    text: style(document.body).color,
  };
}

// Open all parts; return the violations that axe-core finds.
async function violations(page) {
  await page.evaluate(() => {
    for (const part of document.querySelectorAll("details")) part.open = true;
  });
  await page.evaluate(AXE); // by the debugger: the page's policy allows no other script
  const result = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return result.violations.map((violation) => {
    const targets = violation.nodes.slice(0, 3).map((node) => node.target.join(" "));
    return `${violation.id}: ${violation.help}: ${targets.join(", ")}`;
  });
}

// Record the messages, errors and requests of a page.
function listen(page, own, found) {
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) found.errors.push(message.text());
  });
  page.on("pageerror", (error) => found.errors.push(String(error)));
  page.on("request", (request) => {
    const url = request.url();
    if (url !== own && !url.startsWith("data:")) found.requests.push(url);
  });
}

// Return everything that is found on a page.
async function look(context, file) {
  const page = await context.newPage();
  const own = pathToFileURL(file).href;
  const found = { errors: [], requests: [], looks: {}, axe: {} };
  listen(page, own, found);
  for (const [name, [width, colorScheme]] of Object.entries(LOOKS)) {
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    await page.goto(own);
    found.looks[name] = await page.evaluate(measure, FINGER);
    // Each theme and each width once.
    if (name === "light" || name === "phone dark") found.axe[name] = await violations(page);
  }
  await page.goto(own);
  found.grown = await page.evaluate(grow);
  await page.emulateMedia({ reducedMotion: "reduce" }); // without it the page still scrolls
  found.walked = await walk(page);
  await page.emulateMedia({ reducedMotion: null });
  await page.emulateMedia({ forcedColors: "active", colorScheme: "dark" });
  found.forced = await page.evaluate(colors);
  await page.emulateMedia({ forcedColors: null, colorScheme: null });
  await page.setViewportSize({ width: A4, height: 1000 });
  await page.emulateMedia({ media: "print" });
  found.looks.paper = await page.evaluate(measure, FINGER);
  await page.emulateMedia({ media: null });
  found.printed = await print(page);
  const regions = page.locator(".scroll:has(table.sortable)");
  if (await regions.count()) await regions.first().focus();
  found.sorted = await sort(page);
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
