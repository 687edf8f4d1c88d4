// Elements, made and filled. Text is always text: nothing here is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children);
}

// Where a long word may go on in the next line: before a slash or a capital, after an underscore.
export function breakable(word) {
  return word.split(/(?=\/)|(?<=_)|(?=[A-Z][a-z])/).flatMap((part, index) => (index ? [element("wbr"), part] : [part]));
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}
