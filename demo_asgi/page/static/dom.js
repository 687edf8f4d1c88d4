// Creates elements. Nothing here parses text as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children);
}

// Allow line breaks in a long word: before a slash or a capital, and after an underscore.
export function breakable(word) {
  return word.split(/(?=\/)|(?<=_)|(?=[A-Z][a-z])/).flatMap((part, index) => (index ? [element("wbr"), part] : [part]));
}

function fill(target, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) target.setAttribute(name, value === true ? "" : value);
  }
  target.append(...children.filter((child) => child !== undefined && child !== null));
  return target;
}
