// The header and the claims of JWTs. Nothing here verifies them.

import { element, replace } from "./dom.js";

const TIMES = new Set(["exp", "iat", "nbf", "auth_time"]);
const PARTS = ["header", "claims"];

// Return the header and the claims, or `null` if the token is not a JWT.
function decode(token) {
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

// Draw the parts of JWTs. `jwts` are pairs of a name and a JWT.
export function drawJwts(holder, jwts) {
  const drawn = jwts.flatMap(([name, jwt]) => {
    const parts = decode(jwt);
    return parts ? PARTS.map((part) => drawPart(`${name}: ${part}`, parts[part])) : [];
  });
  const text = drawn.length
    ? "Anyone can read this, and anyone could write it. The view verifies the signature, which only the issuer can make."
    : "This is not a JWT. Only the issuer of an opaque token knows what it means.";
  replace(holder, element("p", { class: "hint" }, text), element("div", { class: "panels" }, ...drawn));
}

function drawPart(title, members) {
  const rows = Object.entries(members).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, shown(value), TIMES.has(name) ? timeOf(value) : null)),
  );
  return element("div", { class: "panel extra" }, element("h4", {}, title), element("dl", {}, ...rows));
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function timeOf(seconds) {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? null : element("span", { class: "time" }, time.toLocaleString());
}
