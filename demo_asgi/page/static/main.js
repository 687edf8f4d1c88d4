// The parts of the page, put together.

import { call, isAway, read, unlessGone, watch } from "./api.js";
import { Builder } from "./builder.js";
import { byId } from "./dom.js";
import { Grid } from "./grid.js";
import { Load } from "./load.js";
import { Switches } from "./switches.js";

const POLL = 5000;
const POLL_WHILE_GONE = 1000;
// A guard learns that keys are gone when it fetches them anew, for a token that names one which it does not have.
const ROUNDS_AFTER_REMOVAL = 2;
let rounds = 0;

const builder = new Builder();
const grid = new Grid((view, token) => builder.show(view, token));
const switches = new Switches(async (message) => {
  if (message.rotate === "remove") rounds = ROUNDS_AFTER_REMOVAL;
  await grid.ask();
});
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
const isUnsettled = () => switches.isWell && (rounds > 0 || grid.trouble || grid.hasTrouble);

async function settle() {
  rounds = Math.max(0, rounds - 1);
  if (grid.trouble) {
    await fetchTokens(false);
    grid.draw();
  }
  await grid.ask();
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
