// The parts of the page, put together.

import { call, isAway, read, unlessGone, watch } from "./api.js";
import { Builder } from "./builder.js";
import { byId } from "./dom.js";
import { Grid } from "./grid.js";
import { Load } from "./load.js";
import { Switches } from "./switches.js";

const POLL = 5000;
const POLL_WHILE_GONE = 1000;

const builder = new Builder();
const grid = new Grid((view, token) => builder.show(view, token));
const switches = new Switches(() => grid.ask());
new Load();

async function fetchTokens(fresh) {
  const { tokens, trouble } = await call("/page/tokens", { fresh });
  grid.tokens = tokens;
  builder.setTokens(tokens);
  grid.trouble = trouble;
}

async function begin() {
  const [{ views }] = await Promise.all([read("/page/views"), fetchTokens(false), switches.refresh()]);
  grid.views = views.filter((view) => view.in_grid);
  builder.setViews(views);
  grid.draw();
  await grid.ask();
}

async function renew() {
  grid.say("Fetching new tokens…");
  await fetchTokens(true);
  grid.draw();
  await grid.ask();
}

byId("ask").addEventListener("click", () => unlessGone(() => grid.ask()));
byId("renew").addEventListener("click", () => unlessGone(renew, () => grid.say("No answer.")));

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

// A guard whose server failed waits before it asks again: once that is well, its verdicts are asked for until they come.
async function poll() {
  try {
    await unlessGone(async () => {
      await switches.refresh();
      if (switches.isWell && grid.hasTrouble) await grid.ask();
    });
  } finally {
    setTimeout(poll, isAway() ? POLL_WHILE_GONE : POLL);
  }
}

await unlessGone(begin);
setTimeout(poll, isAway() ? POLL_WHILE_GONE : POLL);
