// Connects the parts of the page.

import { getJson, isDemoGone, postJson, unlessGone, watch } from "./api.js";
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
// A guard notices removed keys when it fetches keys again, for a token with an unknown key.
const ROUNDS_AFTER_REMOVAL = 2;
let rounds = 0;

const builder = new Builder();
const grids = ["tokens", "bound"].map((id) => new Grid(id, (view, token) => builder.show(view, token)));
const switches = new Switches(async (message) => {
  if (message.rotate === "remove") rounds = ROUNDS_AFTER_REMOVAL;
  await sendAll();
});
const replay = new Replay();
const load = new Load((result) => replay.play(result));
new Tour(switches);
new Countdown();
document.querySelectorAll(".scroll, pre").forEach(showScrolling);

async function fetchTokens(fresh) {
  const { tokens, error } = await postJson("/page/tokens", { fresh });
  for (const grid of grids) grid.setTokens(tokens, error);
  builder.setTokens(tokens);
}

async function sendAll() {
  await Promise.all(grids.map((grid) => grid.send()));
}

async function drawAndSend() {
  for (const grid of grids) grid.draw();
  await sendAll();
}

function setSummaries(text) {
  for (const grid of grids) grid.setSummary(text);
}

async function start() {
  // Run the load alone: other requests would distort its figures.
  if (!load.result) await load.run();
  const [{ views }] = await Promise.all([getJson("/page/views"), fetchTokens(false), switches.refresh()]);
  for (const grid of grids) grid.setViews(views);
  builder.setViews(views);
  await drawAndSend();
}

async function renew() {
  setSummaries("Fetching new tokens…");
  await fetchTokens(true);
  await drawAndSend();
}

byId("send-again").addEventListener("click", () => unlessGone(sendAll));
byId("renew").addEventListener("click", () => unlessGone(renew, () => setSummaries("No response.")));

watch({
  gone() {
    document.body.classList.add("is-gone");
    byId("gone").textContent =
      "The demo is not running any more. Start it again with “python -m demo_asgi”. This page then continues by itself.";
    switches.showUnknown();
  },
  back() {
    document.body.classList.remove("is-gone");
    byId("gone").textContent = "";
    unlessGone(start);
  },
});

// After an outage, a guard waits before it retries. So the page sends its requests again until they all have a result.
const needsRetry = () => switches.isHealthy && (rounds > 0 || grids.some((grid) => grid.error || grid.hasUnavailable));

async function retry() {
  rounds = Math.max(0, rounds - 1);
  if (grids[0].error) await fetchTokens(false);
  await drawAndSend();
}

async function poll() {
  try {
    await unlessGone(async () => {
      await switches.refresh();
      if (needsRetry()) await retry();
    });
  } finally {
    schedulePoll();
  }
}

const schedulePoll = () => setTimeout(poll, isDemoGone() ? POLL_WHILE_GONE : POLL);

await unlessGone(start);
schedulePoll();
