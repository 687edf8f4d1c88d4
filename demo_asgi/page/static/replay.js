// The load once more, in slow motion: each request is a dot that waits, is looked up, and is answered.

import { byId, element, replace, svg } from "./dom.js";

// Milliseconds for the longer of both loads.
const LENGTH = 4800;
const REQUESTS = 200;
const COLUMNS = 25;
const GAP = 14;
const RADIUS = 4.5;

const wantsLessMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Replay {
  constructor() {
    this.run = 0;
    // Nothing below moves when the figures come.
    for (const name of ["guarded", "plain"]) new Lane(name, { queries: [], answered: [], threads: "–" }, REQUESTS);
  }

  play({ requests, guarded, plain }) {
    const run = (this.run += 1);
    const lanes = [new Lane("guarded", guarded, requests), new Lane("plain", plain, requests)];
    // Before the first query there is nothing to see.
    const start = Math.min(...lanes.map((lane) => lane.queries[0].began));
    const end = Math.max(guarded.seconds, plain.seconds);
    const show = (seconds) => lanes.forEach((lane) => lane.show(seconds));
    if (wantsLessMotion()) return show(end);
    let began = null;
    const frame = (now) => {
      began ??= now;
      const share = Math.min(1, (now - began) / LENGTH);
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
    this.answered = load.answered;
    this.dots = Array.from({ length: requests }, (_, at) =>
      svg("circle", { cx: GAP * ((at % COLUMNS) + 0.5), cy: GAP * (Math.floor(at / COLUMNS) + 0.5), r: RADIUS, class: "dot" }),
    );
    const [width, height] = [GAP * COLUMNS, GAP * Math.ceil(requests / COLUMNS)];
    this.queryCount = element("dd", {}, "–");
    this.answerCount = element("dd", {}, "–");
    // Each thread has a connection of its own.
    const connections = element("dd", {}, String(load.threads));
    const figures = { queries: this.queryCount, [load.threads === 1 ? "connection" : "connections"]: connections, answered: this.answerCount };
    replace(
      byId(`replay-${name}`),
      element("dl", {}, ...Object.entries(figures).map(([words, figure]) => element("div", {}, element("dt", {}, words), figure))),
      svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...this.dots),
    );
  }

  show(seconds) {
    const begun = this.queries.filter((query) => query.began <= seconds);
    const lookedUp = begun.reduce((sum, { tokens }) => sum + tokens, 0);
    const answered = this.answered.filter((at) => at <= seconds).length;
    this.queryCount.textContent = begun.length;
    this.answerCount.textContent = answered;
    this.dots.forEach((dot, at) => {
      const state = at < answered ? "dot done" : at < lookedUp ? "dot asked" : "dot";
      if (dot.getAttribute("class") !== state) dot.setAttribute("class", state);
    });
  }
}
