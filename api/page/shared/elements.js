// Making and finding elements. Text goes in as text: nothing that was typed or stored becomes markup.

export const element = (id) => document.getElementById(id);

// make("li", { class: "card", "aria-label": "…", onclick: f, hidden: true }, child, "text", null…)
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-") && name !== "list") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function draw(tag, attributes = {}, ...children) {
  const drawn = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) drawn.setAttribute(name, value);
  drawn.append(...children);
  return drawn;
}

export const icon = (name) => draw("svg", { "aria-hidden": "true" }, draw("use", { href: `#i-${name}` }));

export const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

// A plain click on a link of ours, which the page answers itself; others are left to the browser.
export const isPlainClick = (event) =>
  event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;

// The last call wins, once nothing was called for a while.
export function settled(action, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), milliseconds);
  };
}
