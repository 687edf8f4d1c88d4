// Sends 200 requests at once to two views, and draws their queries on one scale.

import { Gone, postJson } from "./api.js";
import { byId, element, replace, svg } from "./dom.js";
import { milliseconds } from "./labels.js";

const HEIGHT = 200;
// Pixels. Bars of this height or more have a label.
const MIN_BAR_WIDTH = 2.5;
const MIN_LABELLED_HEIGHT = 18;
const LABEL_WIDTH = 80;
const MARGIN = { top: 12, right: 12, bottom: 34, left: 40 };

export class Load {
  constructor(onMeasured) {
    this.onMeasured = onMeasured;
    this.result = null;
    byId("run-load").addEventListener("click", () => this.run());
    // Draw for the available width, so that the text keeps its size.
    new ResizeObserver(() => this.draw()).observe(byId("load-result"));
  }

  async run() {
    const button = byId("run-load");
    const summary = byId("load-summary");
    // `disabled` would remove the focus.
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    summary.textContent = "Sending 200 requests, twice…";
    try {
      this.result = await postJson("/page/load", {});
      summary.textContent = summaryOf(this.result);
      this.width = 0;
      this.draw();
      this.onMeasured(this.result);
    } catch (error) {
      summary.textContent = error instanceof Gone ? "No response." : `The load failed: ${error.message}`;
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }

  draw() {
    const holder = byId("load-result");
    const width = holder.clientWidth;
    if (!this.result || width === this.width) return;
    this.width = width;
    const { requests, guarded, plain } = this.result;
    const scale = Math.max(guarded.seconds, plain.seconds) * 1.02;
    replace(
      holder,
      element(
        "div",
        { class: "charts" },
        chart("Guarded view: lookups share queries", guarded, requests, scale, width),
        chart("Plain view: each request looks up for itself", plain, requests, scale, width),
      ),
      legend(),
      figures(guarded, plain),
    );
  }
}

function chart(title, load, requests, scale, room) {
  const outer = room >= 760 ? (room - 20) / 2 : room;
  const width = Math.max(240, outer - 34);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT };
  const x = (seconds) => MARGIN.left + (seconds / scale) * inner.width;
  const y = (count) => MARGIN.top + inner.height - (count / requests) * inner.height;
  const label = `${title}. ${describe(load)}`;
  return element(
    "figure",
    { class: "card chart" },
    element("figcaption", {}, title),
    svg(
      "svg",
      { role: "img", "aria-label": label, viewBox: `0 0 ${width} ${MARGIN.top + HEIGHT + MARGIN.bottom}`, width, height: MARGIN.top + HEIGHT + MARGIN.bottom },
      ...timeAxis(scale, x, y(0), width),
      ...countAxis(requests, x(0), width - MARGIN.right, y),
      responseLine(load.response_times, x, y),
      ...queryBars(load.queries, x, y),
    ),
  );
}

// The height of a bar is the number of lookups in its query. Its width is the duration. The bars are stacked.
function queryBars(queries, x, y) {
  let below = 0;
  return queries.flatMap(({ began, ended, tokens }) => {
    const [bottom, top] = [y(below), y((below += tokens))];
    const height = bottom - top;
    const [left, width] = [x(began), Math.max(MIN_BAR_WIDTH, x(ended) - x(began))];
    const bar = svg("rect", { class: "query", x: left, y: top, width, height: height > 4 ? height - 1 : height, rx: height > 4 ? 2 : 0 });
    if (height < MIN_LABELLED_HEIGHT) return [bar];
    // Responses follow their query, so a label before the bar does not cover their line.
    const before = left - x(0) >= LABEL_WIDTH;
    const at = { class: "bar-label", x: before ? left - 6 : left + width + 6, y: (top + bottom) / 2 + 4, "text-anchor": before ? "end" : "start" };
    return [bar, svg("text", at, `${tokens} lookups`)];
  });
}

function responseLine(times, x, y) {
  const steps = times.map((seconds, index) => `H${x(seconds).toFixed(1)}V${y(index + 1).toFixed(1)}`);
  return svg("path", { class: "responses", d: `M${x(0)} ${y(0)}${steps.join("")}` });
}

function timeAxis(scale, x, bottom, width) {
  const step = tidyStep(scale * 1000, width / 80);
  const marks = [];
  for (let at = 0; at <= scale * 1000; at += step) {
    marks.push(svg("line", { class: "tick", x1: x(at / 1000), x2: x(at / 1000), y1: bottom, y2: bottom + 4 }));
    marks.push(svg("text", { x: x(at / 1000), y: bottom + 18, "text-anchor": "middle" }, String(at)));
  }
  marks.push(svg("text", { x: width - MARGIN.right, y: bottom + 32, "text-anchor": "end" }, "milliseconds since the first request"));
  return marks;
}

function countAxis(requests, left, right, y) {
  return [0, requests / 2, requests].flatMap((count) => [
    svg("line", { class: "line", x1: left, x2: right, y1: y(count), y2: y(count) }),
    svg("text", { x: left - 6, y: y(count) + 4, "text-anchor": "end" }, String(count)),
  ]);
}

function tidyStep(extent, most) {
  const rough = extent / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

function legend() {
  return element(
    "ul",
    { class: "legend" },
    element("li", {}, svg("svg", { class: "mark", width: 22, height: 12, "aria-hidden": "true" }, svg("rect", { class: "query", x: 1, y: 1, width: 20, height: 10, rx: 2 })), " a query: the height is its number of lookups, the width its duration"),
    element("li", {}, svg("svg", { class: "mark", width: 22, height: 12, "aria-hidden": "true" }, svg("path", { class: "responses", d: "M1 10H8V5H15V2H21" })), " responses so far"),
  );
}

function figures(guarded, plain) {
  const rows = [
    ["Queries", (load) => load.queries.length],
    ["Lookups in the largest query", (load) => Math.max(...load.queries.map((query) => query.tokens))],
    ["Database connections opened", (load) => load.connections],
    ["Threads that queried", (load) => load.threads],
    ["Time until half of the responses", (load) => milliseconds(load.response_times[Math.floor(load.response_times.length / 2)])],
    ["Time until the last response", (load) => milliseconds(load.seconds)],
    ["Responses with 200", (load) => load.statuses[200] ?? 0],
  ];
  return element(
    "div",
    { class: "card" },
    element(
      "table",
      { class: "figures" },
      element("caption", { class: "hidden" }, "The two loads in figures"),
      element("thead", {}, element("tr", {}, element("td", {}), ...["Guarded", "Plain"].map((title) => element("th", { scope: "col" }, title)))),
      element(
        "tbody",
        {},
        ...rows.map(([title, figure]) =>
          element("tr", {}, element("th", { scope: "row" }, title), ...[guarded, plain].map((load) => element("td", {}, String(figure(load))))),
        ),
      ),
    ),
  );
}

function summaryOf({ requests, guarded, plain }) {
  return `${requests} requests on the guarded view became ${queryCount(guarded.queries.length)} and took ${milliseconds(guarded.seconds)}; on the plain view, ${queryCount(plain.queries.length)} and ${milliseconds(plain.seconds)}.`;
}

function describe(load) {
  return `${queryCount(load.queries.length)} on ${load.connections} new connections; last response after ${milliseconds(load.seconds)}.`;
}

const queryCount = (queries) => (queries === 1 ? "1 query" : `${queries} queries`);
