// Plays the load in slow motion. Each request is a dot: it waits, its token is looked up, it has a response.

import { byId, element, replace, svg } from "./dom.js";

// Milliseconds in which the longer load is shown.
const DURATION = 4800;
const REQUESTS = 200;
const COLUMNS = 25;
const GAP = 14;
const RADIUS = 4.5;

const wantsLessMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Replay {
  constructor() {
    this.run = 0;
    // Draw empty lanes, so that nothing below moves when the figures arrive.
    for (const name of ["guarded", "plain"]) new Lane(name, { queries: [], response_times: [], threads: "–" }, REQUESTS);
  }

  play({ requests, guarded, plain }) {
    const run = (this.run += 1);
    const lanes = [new Lane("guarded", guarded, requests), new Lane("plain", plain, requests)];
    // Nothing happens before the first query.
    const start = Math.min(...lanes.map((lane) => lane.queries[0].began));
    const end = Math.max(guarded.seconds, plain.seconds);
    const show = (seconds) => lanes.forEach((lane) => lane.show(seconds));
    if (wantsLessMotion()) return show(end);
    let began = null;
    const frame = (now) => {
      began ??= now;
      const share = Math.min(1, (now - began) / DURATION);
      // A newer run replaces this one.
      if (run !== this.run) return;
      show(start + share * (end - start));
      if (share < 1) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }
}

class Lane {
  constructor(name, load, requests) {
    this.queries = load.queries;
    this.responseTimes = load.response_times;
    this.dots = Array.from({ length: requests }, (_, at) =>
      svg("circle", { cx: GAP * ((at % COLUMNS) + 0.5), cy: GAP * (Math.floor(at / COLUMNS) + 0.5), r: RADIUS, class: "dot" }),
    );
    const [width, height] = [GAP * COLUMNS, GAP * Math.ceil(requests / COLUMNS)];
    this.queryCount = element("dd", {}, "–");
    this.responseCount = element("dd", {}, "–");
    // Each thread has its own connection.
    const connections = element("dd", {}, String(load.threads));
    const figures = { queries: this.queryCount, [load.threads === 1 ? "connection" : "connections"]: connections, responses: this.responseCount };
    replace(
      byId(`replay-${name}`),
      element("dl", {}, ...Object.entries(figures).map(([label, figure]) => element("div", {}, element("dt", {}, label), figure))),
      svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...this.dots),
    );
  }

  show(seconds) {
    const started = this.queries.filter((query) => query.began <= seconds);
    const lookedUp = started.reduce((sum, { tokens }) => sum + tokens, 0);
    const responses = this.responseTimes.filter((at) => at <= seconds).length;
    this.queryCount.textContent = started.length;
    this.responseCount.textContent = responses;
    this.dots.forEach((dot, at) => {
      const state = at < responses ? "dot done" : at < lookedUp ? "dot querying" : "dot";
      if (dot.getAttribute("class") !== state) dot.setAttribute("class", state);
    });
  }
}
