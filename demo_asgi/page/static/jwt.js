// What is inside a JWT. Nothing here verifies it.

import { element, replace } from "./dom.js";

const TIMES = new Set(["exp", "iat", "nbf", "auth_time"]);
const PARTS = ["header", "claims"];

// Its header and claims; `null` for a token that is no JWT.
export function decode(token) {
  const segments = token.split(".");
  if (segments.length !== 3) return null;
  try {
    const [header, claims] = segments.slice(0, 2).map((segment) => JSON.parse(textOf(segment)));
    return isObject(header) && isObject(claims) ? { header, claims } : null;
  } catch {
    return null;
  }
}

function textOf(segment) {
  const bytes = Uint8Array.from(atob(segment.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// Of each of `named`, pairs of a name and a JWT, the parts.
export function drawJwts(holder, named) {
  const drawn = named.flatMap(([name, jwt]) => {
    const parts = decode(jwt);
    return parts ? PARTS.map((part) => drawPart(`${name}: ${part}`, parts[part])) : [];
  });
  const words = drawn.length
    ? "Anyone can read this and could write it. The signature, which the view verifies, shows that the issuer wrote it."
    : "Nothing that can be read: this is no JWT. Only who issued a token knows what such a token means.";
  replace(holder, element("p", { class: "hint" }, words), element("div", { class: "judges" }, ...drawn));
}

function drawPart(title, members) {
  const rows = Object.entries(members).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, shown(value), TIMES.has(name) ? timeOf(value) : null)),
  );
  return element("div", { class: "judge extra" }, element("h4", {}, title), element("dl", {}, ...rows));
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function timeOf(seconds) {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? null : element("span", { class: "time" }, time.toLocaleString());
}
