// The parts of the page, put together.

import { call, isAway, read, unlessGone, watch } from "./api.js";
import { Builder } from "./builder.js";
import { Countdown } from "./countdown.js";
import { byId } from "./dom.js";
import { Grid } from "./grid.js";
import { Load } from "./load.js";
import { Replay } from "./replay.js";
import { showScrolling } from "./scrolling.js";
import { Switches } from "./switches.js";
import { Tour } from "./tour.js";

const POLL = 5000;
const POLL_WHILE_GONE = 1000;
// A guard learns that keys are gone when it fetches them anew, for a token that names one which it does not have.
const ROUNDS_AFTER_REMOVAL = 2;
let rounds = 0;

const builder = new Builder();
// What is bound, and what else a view may ask for, has a table of its own.
const grids = ["tokens", "bound"].map((id) => new Grid(id, (view, token) => builder.show(view, token)));
const switches = new Switches(async (message) => {
  if (message.rotate === "remove") rounds = ROUNDS_AFTER_REMOVAL;
  await ask();
});
const replay = new Replay();
const load = new Load((result) => replay.play(result));
new Tour(switches);
new Countdown();
document.querySelectorAll(".scroll, pre").forEach(showScrolling);

async function fetchTokens(fresh) {
  const { tokens, trouble } = await call("/page/tokens", { fresh });
  for (const grid of grids) grid.setTokens(tokens, trouble);
  builder.setTokens(tokens);
}

async function ask() {
  await Promise.all(grids.map((grid) => grid.ask()));
}

async function drawAndAsk() {
  for (const grid of grids) grid.draw();
  await ask();
}

function say(words) {
  for (const grid of grids) grid.say(words);
}

async function begin() {
  // First, and alone: what else the demo has to do would be in its figures.
  if (!load.result) await load.run();
  const [{ views }] = await Promise.all([read("/page/views"), fetchTokens(false), switches.refresh()]);
  for (const grid of grids) grid.setViews(views);
  builder.setViews(views);
  await drawAndAsk();
}

async function renew() {
  say("Fetching new tokens…");
  await fetchTokens(true);
  await drawAndAsk();
}

byId("ask").addEventListener("click", () => unlessGone(ask));
byId("renew").addEventListener("click", () => unlessGone(renew, () => say("No answer.")));

watch({
  gone() {
    document.body.classList.add("is-gone");
    byId("gone").textContent =
      "The demo is not running any more. Start it again with “python -m demo_asgi”: this page notices, and goes on.";
    switches.forget();
  },
  back() {
    document.body.classList.remove("is-gone");
    byId("gone").textContent = "";
    unlessGone(begin);
  },
});

// A guard whose server failed backs off: once the server works, the page requests the results until they arrive.
const isUnsettled = () => switches.isWell && (rounds > 0 || grids.some((grid) => grid.trouble || grid.hasTrouble));

async function settle() {
  rounds = Math.max(0, rounds - 1);
  if (grids[0].trouble) await fetchTokens(false);
  await drawAndAsk();
}

async function poll() {
  try {
    await unlessGone(async () => {
      await switches.refresh();
      if (isUnsettled()) await settle();
    });
  } finally {
    setTimeout(poll, isAway() ? POLL_WHILE_GONE : POLL);
  }
}

await unlessGone(begin);
setTimeout(poll, isAway() ? POLL_WHILE_GONE : POLL);
