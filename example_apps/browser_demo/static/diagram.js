// Draws the recorded runs as sequence diagrams (SVG), newest first; each has the same steps as a list of words.

import { LANES, headline, inWords, rowsOf } from "./steps.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 620;

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function html(name, attributes, ...children) {
  const element = document.createElement(name);
  Object.assign(element, attributes);
  element.append(...children);
  return element;
}

export function drawRuns(place, runs) {
  const open = new Set([...place.querySelectorAll("details[open]")].map((element) => element.dataset.key));
  const width = Math.max(280, Math.floor(place.clientWidth));
  place.replaceChildren(...runs.map((run, index) => drawRun(run, index, width, open)));
}

function drawRun(run, index, width, open) {
  const rows = rowsOf(run);
  const words = html("ol", {}, ...rows.map((row) => html("li", { textContent: inWords(row) })));
  const details = html("details", {}, html("summary", { textContent: "The same in words" }), words);
  details.dataset.key = String(index);
  details.open = open.has(String(index));
  const title = html("h3", { textContent: `${index ? "Before that" : "Latest"}: ${headline(run)}` });
  const section = html("section", { className: "run" }, title, draw(rows, width, headline(run)), details);
  section.dataset.steps = run.steps.map((step) => step.kind).join(" ");
  section.dataset.number = String(run.number);
  section.dataset.status = String(run.steps.at(-1).status);
  return section;
}

function draw(rows, width, title) {
  const compact = width < WIDE;
  const scale = { width, compact, font: compact ? 11.5 : 13, line: compact ? 15 : 17, times: compact ? 0 : 64 };
  const usable = width - scale.times;
  scale.x = LANES.map((_, lane) => scale.times + (usable / LANES.length) * (lane + 0.5));
  scale.left = scale.times + 2;
  const body = [];
  let y = 58;
  for (const row of rows) {
    const height = row.lines ? noteHeight(row, scale) : 34;
    body.push(row.lines ? drawNote(row, y, scale) : drawArrow(row, y, scale));
    if (!compact) body.push(text(`${row.time.toFixed(1)} ms`, scale.times - 10, y + 18, "time", "end"));
    y += height + 8;
  }
  const picture = svg("svg", { viewBox: `0 0 ${width} ${y + 6}`, width, height: y + 6, role: "img", class: "sequence" });
  picture.append(svg("title", {}, `Sequence diagram: ${title}`), ...lanes(scale, y), ...body);
  return picture;
}

function lanes(scale, bottom) {
  const box = Math.min(120, (scale.width - scale.times) / LANES.length - 8);
  return LANES.flatMap((name, lane) => [
    svg("line", { x1: scale.x[lane], x2: scale.x[lane], y1: 40, y2: bottom, class: "lifeline" }),
    svg("rect", { x: scale.x[lane] - box / 2, y: 8, width: box, height: 32, rx: 9, class: `lane lane-${lane}` }),
    text(name, scale.x[lane], 29, "lane-name", "middle"),
  ]);
}

function text(content, x, y, className, anchor = "start") {
  return svg("text", { x, y, class: className, "text-anchor": anchor }, content);
}

// Text has a plate behind it, so that lifelines do not run through it; it stays within the picture.
function plated(content, middle, y, scale, className) {
  const width = content.length * scale.font * 0.54 + 8;
  const x = Math.min(Math.max(middle, scale.left + width / 2), scale.width - 2 - width / 2);
  const plate = svg("rect", { x: x - width / 2, y: y - scale.font, width, height: scale.font + 5, class: "plate" });
  return svg("g", {}, plate, text(content, x, y, className, "middle"));
}

function drawArrow(row, y, scale) {
  const from = scale.x[row.from];
  const to = scale.x[row.to];
  const tip = Math.sign(to - from) * 8;
  const line = y + 26;
  const mood = row.mood ? ` ${row.mood}` : "";
  return svg(
    "g",
    { class: `arrow${row.back ? " back" : ""}${mood}` },
    plated(row.text, (from + to) / 2, y + 16, scale, "label"),
    svg("line", { x1: from, x2: to - tip, y1: line, y2: line, class: "shaft" }),
    svg("path", { d: `M${to} ${line} L${to - tip} ${line - 4.5} L${to - tip} ${line + 4.5} Z`, class: "tip" }),
  );
}

function noteHeight(row, scale) {
  return row.lines.length * scale.line + 14;
}

function drawNote(row, y, scale) {
  const longest = Math.max(...row.lines.map((line) => line.length));
  const width = Math.min(longest * scale.font * 0.56 + 22, scale.width - scale.left - 4);
  const x = Math.max(scale.left, scale.x[row.at] - width / 2);
  const lines = row.lines.map((line, index) =>
    text(line, x + 11, y + 18 + index * scale.line, index ? "note-more" : "note-title"),
  );
  const box = svg("rect", { x, y: y + 2, width, height: noteHeight(row, scale) - 4, rx: 9, class: "box" });
  return svg("g", { class: `note ${row.mood}` }, box, ...lines);
}
