
"use strict";
// The page works without this script: boxes are <details> of one name, so one is open at a time. The script adds Escape,
// arrow keys, the theme, boxes opened by their address, and the lines between resources.
const root = document.documentElement;
const boxes = [...document.querySelectorAll("details.box")];
const summaryOf = (box) => box.querySelector("summary");
const opened = () => boxes.find((box) => box.open);

for (const element of document.querySelectorAll("[hidden]")) element.hidden = false;

// Theme: the system's until the button is used; then kept where the browser allows it.
const dark = matchMedia("(prefers-color-scheme: dark)");
const button = document.querySelector(".theme");
const current = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
const other = () => (current() === "dark" ? "light" : "dark");
const nameButton = () => {
  button.textContent = other() === "dark" ? "Dark" : "Light";
  button.setAttribute("aria-label", `Use the ${other()} theme`);
};
try {
  const kept = localStorage.getItem("theme");
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
} catch { /* Storage is switched off. */ }
button.addEventListener("click", () => {
  root.dataset.theme = other();
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* Storage is switched off. */ }
  nameButton();
});
dark.addEventListener("change", nameButton);
nameButton();

const close = (box) => {
  box.open = false;
  summaryOf(box).focus();
};
for (const box of boxes) box.querySelector(".close").addEventListener("click", () => close(box));

// The neighbour is the box of the same part whose centre lies in the key's direction, the nearest one along it.
const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const centre = (box) => {
  const { x, y, width, height } = summaryOf(box).getBoundingClientRect();
  return [x + width / 2, y + height / 2];
};
const neighbour = (box, [right, down]) => {
  const [x, y] = centre(box);
  let best = null;
  let least = Infinity;
  for (const candidate of box.closest(".part").querySelectorAll("details.box")) {
    const [cx, cy] = centre(candidate);
    const along = (cx - x) * right + (cy - y) * down;
    const across = Math.abs((cx - x) * down) + Math.abs((cy - y) * right);
    if (along > 4 && along + 2 * across < least) [best, least] = [candidate, along + 2 * across];
  }
  return best;
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && opened()) {
    close(opened());
    return;
  }
  const box = event.target.matches?.("details.box > summary") ? event.target.parentElement : null;
  const direction = directions[event.key];
  if (!box || !direction || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const next = neighbour(box, direction);
  if (!next) return;
  event.preventDefault();
  summaryOf(next).focus();
});

// An address such as #resources-orchestrator opens its box.
const openAddressed = () => {
  const box = boxes.find((one) => `#${one.id}` === location.hash);
  if (box) {
    box.open = true;
    summaryOf(box).focus();
  }
};
addEventListener("hashchange", openAddressed);
openAddressed();

// Lines between resources.
const map = document.querySelector(".map");
const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
svg.setAttribute("class", "wires");
svg.setAttribute("aria-hidden", "true");
map.prepend(svg);
const inMap = new Map([...map.querySelectorAll("details.box")].map((box) => [box.dataset.box, box]));
const draw = () => {
  svg.replaceChildren();
  const frame = map.getBoundingClientRect();
  const place = (box) => {
    const { left, right, top, bottom } = summaryOf(box).getBoundingClientRect();
    return { left: left - frame.left, right: right - frame.left, top: top - frame.top, bottom: bottom - frame.top };
  };
  const wires = [...inMap.values()].flatMap((box) =>
    box.dataset.targets.split(" ").filter((name) => inMap.has(name)).map((name) => [box, inMap.get(name)]));
  const used = new Map();
  // Lines that meet at one side of a box are spread over it.
  const port = (box, side, { top, bottom }) => {
    const key = `${box.dataset.box} ${side}`;
    const number = used.get(key) ?? 0;
    used.set(key, number + 1);
    const offset = [0, 9, -9, 17, -17][number % 5];
    return (top + bottom) / 2 + offset;
  };
  for (const [start, end] of wires) {
    const [from, to] = [place(start), place(end)];
    let path;
    let head;
    if (Math.abs(from.left - to.left) < 8) {
      const x = (from.left + from.right) / 2;
      const down = to.top > from.top;
      const [y1, y2] = down ? [from.bottom, to.top] : [from.top, to.bottom];
      path = `M${x} ${y1}L${x} ${y2}`;
      head = [x, y2, down ? 90 : -90];
    } else {
      const forward = to.left > from.left;
      const [x1, x2] = forward ? [from.right, to.left] : [from.left, to.right];
      const [y1, y2] = [port(start, forward ? "right" : "left", from), port(end, forward ? "left" : "right", to)];
      const bend = Math.max(28, Math.abs(x2 - x1) * 0.45) * (forward ? 1 : -1);
      path = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
      head = [x2, y2, forward ? 0 : 180];
    }
    const group = document.createElementNS(svg.namespaceURI, "g");
    group.setAttribute("class", `kind-${[...start.classList].find((name) => name.startsWith("kind-")).slice(5)}`);
    group.dataset.ends = `${start.dataset.box} ${end.dataset.box}`;
    const line = document.createElementNS(svg.namespaceURI, "path");
    line.setAttribute("d", path);
    const arrow = document.createElementNS(svg.namespaceURI, "polygon");
    arrow.setAttribute("points", "0,0 -8,-4 -8,4");
    arrow.setAttribute("transform", `translate(${head[0]} ${head[1]}) rotate(${head[2]})`);
    group.append(line, arrow);
    svg.append(group);
  }
  show();
};
const show = () => {
  const box = [...inMap.values()].find((one) => one.open || summaryOf(one).matches(":hover, :focus-visible"));
  for (const group of svg.children) {
    const own = box && group.dataset.ends.split(" ").includes(box.dataset.box);
    group.classList.toggle("shown", Boolean(own));
    group.classList.toggle("dimmed", Boolean(box) && !own);
  }
};
for (const box of inMap.values()) {
  box.addEventListener("toggle", show);
  for (const name of ["mouseenter", "mouseleave", "focus", "blur"]) summaryOf(box).addEventListener(name, show);
}
new ResizeObserver(draw).observe(map);
