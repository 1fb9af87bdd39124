// Looks at pages in headless Chromium: node browser.cjs FOLDER. Each FOLDER/*.html is
// opened at the widths of a phone and of a desk, in light and dark, with everything folded
// and unfolded, and printed. What axe finds, what does not fit and what is asked of the
// network is printed, a line each that begins with FOUND; the exit code is 1 then. Pictures
// and prints are left in FOLDER.
"use strict";
const fs = require("fs");
const path = require("path");
const { pathToFileURL } = require("url");
const puppeteer = require("puppeteer-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const widths = [375, 1280];
const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const found = [];

const unfold = (page, open) => page.evaluate((open) => document.querySelectorAll("details").forEach((d) => { d.open = open; }), open);

async function screens(browser, file, stem) {
  const name = path.basename(file);
  for (const width of widths) {
    for (const scheme of ["light", "dark"]) {
      const page = await browser.newPage();
      const asked = [];
      page.on("request", (r) => asked.push(r.url()));
      await page.setViewport({ width, height: 900 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      const began = Date.now();
      await page.goto(pathToFileURL(file).href, { waitUntil: "load" });
      const took = Date.now() - began;
      if (asked.length !== 1) found.push(`${name} asks for ${asked.slice(1).join(", ")}`);
      for (const open of [false, true]) {
        await unfold(page, open);
        const at = `${name} at ${width} px, ${scheme}${open ? ", unfolded" : ""}`;
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) found.push(`${at}: it is ${wide} px wider than the window`);
        await page.evaluate(axe);
        const r = await page.evaluate((values) => window.axe.run(document, { runOnly: { type: "tag", values } }), tags);
        for (const v of r.violations) {
          for (const n of v.nodes.slice(0, 3)) found.push(`${at}: ${v.id} (${v.impact}): ${n.target.join(" ")}: ${n.failureSummary.replace(/\s+/g, " ")}`);
        }
        const undecided = r.incomplete.map((v) => `${v.id} ${v.nodes.length}`).join(", ");
        console.log(`${at}: ${r.passes.length} rules passed, ${r.violations.length} violated, not decided: ${undecided || "none"}; opened in ${took} ms`);
        await page.screenshot({ path: `${stem}-${width}-${scheme}${open ? "-unfolded" : ""}.png`, fullPage: !open || !name.startsWith("class") });
      }
      await page.close();
    }
  }
}

async function print(browser, file, stem) {
  const name = path.basename(file);
  const page = await browser.newPage();
  await page.setViewport({ width: 794, height: 1123 }); // A4 at 96 dpi
  await page.goto(pathToFileURL(file).href, { waitUntil: "load" });
  const pdf = await page.pdf({ format: "A4", path: stem + ".pdf" });
  const sheets = (Buffer.from(pdf).toString("latin1").match(/\/Type\s*\/Page\b/g) || []).length;
  await page.emulateMediaType("print");
  const cut = await page.evaluate(() => {
    const right = document.documentElement.clientWidth + 1;
    return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility({ contentVisibilityAuto: true }) && e.getBoundingClientRect().right > right).length;
  });
  if (cut > 0) found.push(`${name}, printed: ${cut} elements are cut off`);
  const folded = await page.evaluate(() => [...document.querySelectorAll("details > :not(summary)")].filter((e) => !e.checkVisibility({ contentVisibilityAuto: true })).length);
  if (folded > 0) found.push(`${name}, printed: ${folded} parts stay folded away`);
  await page.screenshot({ path: `${stem}-print.png` });
  await page.close();
  console.log(`${name}, printed: ${sheets} sheets`);
}

(async () => {
  const folder = process.argv[2];
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  try {
    for (const name of fs.readdirSync(folder).filter((n) => n.endsWith(".html")).sort()) {
      const file = path.join(folder, name);
      const stem = path.join(folder, path.basename(name, ".html"));
      await screens(browser, file, stem);
      await print(browser, file, stem);
    }
  } finally {
    await browser.close();
  }
  for (const line of found) console.log("FOUND " + line);
  process.exitCode = found.length > 0 ? 1 : 0;
})();
