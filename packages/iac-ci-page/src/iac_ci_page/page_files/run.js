// The page of a run: keeps the table, the graph and the timeline up to date. All text comes in as text, never as markup.
"use strict";
(() => {
  const {dataset} = document.body;
  const STATES = dataset.states.split(" ");
  const SVG = "http://www.w3.org/2000/svg";
  // One shape for each state, 14 wide and high around 0,0, so that colour is not needed to tell them apart.
  const SHAPES = {
    queued: "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0",
    dispatching: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0",
    running: "M-5 -7L7 0L-5 7Z",
    succeeded: "M-7 0a7 7 0 1 0 14 0a7 7 0 1 0 -14 0",
    failed: "M-7 -4L-4 -7L0 -3L4 -7L7 -4L3 0L7 4L4 7L0 3L-4 7L-7 4L-3 0Z",
    timed_out: "M0 -7L7 0L0 7L-7 0Z",
    cancelled: "M-6 -6H6V6H-6Z",
    skipped: "M-7 -2H7V2H-7Z",
  };
  const MOST_NAMES = 120;
  const base = location.pathname.replace(/\/+$/, "");
  const id = (name) => document.getElementById(name);
  const words = (state) => state.replaceAll("_", " ");
  // Orders are named by their places in the table, which has them in the sequence of their numbers.
  const rows = [...document.querySelectorAll("#orders tbody tr")];
  const names = rows.map((row) => row.cells[0].textContent), links = rows.map((row) => row.querySelector("a").getAttribute("href"));
  const nodes = [], bars = [];
  let failures = 0, graph = null;
  // What the page was made with; polls replace it.
  let known = {
    version: dataset.version, state: dataset.state, over: dataset.over !== "", accepted: Number(dataset.accepted),
    finished: dataset.finished ? Number(dataset.finished) : null,
    orders: rows.map((row) => [
      STATES.findIndex((state) => row.classList.contains(state)), "", "", "", "",
      ...(row.dataset.t ?? "").split(",").map((one) => (one ? Number(one) : null)),
    ]),
  };

  function svg(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    if (parent) parent.append(made);
    return made;
  }

  async function read(part) {
    const answer = await fetch(`${base}/${part}`, {credentials: "same-origin", cache: "no-store"});
    if (answer.status === 204) return null;
    if (answer.status === 403 || answer.status === 404) throw Object.assign(new Error(), {over: true});
    if (!answer.ok) throw new Error();
    return answer.json();
  }

  const short = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

  function text(cell, value) {
    if (cell.textContent !== value) cell.textContent = value;
  }

  function show(state) {
    known = state;
    id("state").className = `state ${state.state}`;
    text(id("state"), words(state.state));
    text(id("reason"), state.reason);
    text(id("summary"), state.summary);
    document.title = document.title.replace(/: [a-z_ ]+$/, `: ${words(state.state)}`);
    state.orders.forEach(([state, more = "", changes = "", duration = "", why = ""], index) => {
      const row = rows[index], name = STATES[state];
      row.classList.remove(...STATES);
      row.classList.add(name);
      [more || words(name), changes, duration, why].forEach((value, cell) => text(row.cells[cell + 1], value));
    });
    if (graph) colour();
    timeline();
    filter();
  }

  function drawGraph(found) {
    graph = found;
    const named = found.nodes.length <= MOST_NAMES;
    const [wide, high] = named ? [190, 30] : [34, 18];
    const at = found.nodes.map(([column, row]) => [column * wide + 16, row * high + 16]);
    const width = Math.max(...at.map(([x]) => x)) + wide, height = Math.max(...at.map(([, y]) => y)) + 20;
    const drawn = svg("svg", {width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true"});
    let edges = "";
    for (const [before, after] of found.edges) {
      const [x1, y1] = at[before], [x2, y2] = at[after], half = (x2 - x1) / 2;
      edges += `M${x1 + 8} ${y1}C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2 - 9} ${y2}`;
    }
    svg("path", {class: "edge", d: edges}, drawn);
    at.forEach(([x, y], index) => {
      const link = svg("a", {href: links[index], tabindex: "-1", transform: `translate(${x} ${y})`}, drawn);
      const title = svg("title", {}, link), mark = svg("path", {class: "mark"}, link);
      if (named) svg("text", {x: 12, y: 4}, link).textContent = short(names[index], 24);
      nodes.push({link, mark, title});
    });
    id("graph").replaceChildren(drawn);
    id("graph-section").hidden = found.nodes.length === 0;
    const legend = document.querySelector(".legend");
    for (const state of STATES) {
      const one = document.createElement("span");
      one.className = `legend-${state}`;
      const small = svg("svg", {width: 16, height: 16, viewBox: "-8 -8 16 16", class: state}, one);
      svg("path", {class: "mark", d: SHAPES[state]}, small);
      one.append(words(state));
      legend.append(one);
    }
    if (found.left_out) legend.append(`${found.left_out} dependencies are not drawn.`);
    colour();
  }

  function colour() {
    known.orders.forEach(([state], index) => {
      const {link, mark, title} = nodes[index], name = STATES[state];
      link.setAttribute("class", name);
      mark.setAttribute("d", SHAPES[name]);
      title.textContent = `${names[index]}: ${words(name)}`;
    });
  }

  function timeline() {
    // Seconds since the run was accepted.
    const now = (known.finished ?? Date.now() / 1000) - known.accepted, span = Math.max(now, 1);
    const named = known.orders.length <= MOST_NAMES;
    const high = named ? 22 : 7, left = named ? 170 : 4, width = Math.max(id("timeline").clientWidth || 600, 340);
    const x = (moment) => left + (Math.min(Math.max(moment, 0), span) / span) * (width - left - 8);
    let drawn = id("timeline").firstElementChild;
    if (!drawn) {
      drawn = svg("svg", {"aria-hidden": "true"});
      id("timeline").append(drawn);
      id("timeline-section").hidden = false;
    }
    drawn.setAttribute("width", width);
    drawn.setAttribute("height", known.orders.length * high + 8);
    known.orders.forEach(([state, , , , , dispatched = null, started = null, ended = null], index) => {
      let bar = bars[index];
      if (!bar) {
        const group = svg("g", {}, drawn);
        bar = {group, wait: svg("line", {class: "wait"}, group), start: svg("rect", {class: "start"}, group), run: svg("rect", {class: "bar"}, group)};
        if (named) {
          svg("text", {x: 6, y: index * high + high / 2 + 8}, group).textContent = short(names[index], 22);
        }
        bars.push(bar);
      }
      const middle = index * high + high / 2 + 4, end = ended ?? now, thick = high - 4;
      bar.group.setAttribute("class", STATES[state]);
      const waited = dispatched ?? started ?? end;
      place(bar.wait, {x1: x(0), x2: x(waited), y1: middle, y2: middle});
      const began = dispatched ?? started;
      box(bar.start, began, began === null ? null : started ?? end);
      box(bar.run, started, started === null ? null : end);
      function box(rect, from, to) {
        const shown = from !== null && to !== null;
        place(rect, {x: shown ? x(from) : 0, y: middle - thick / 2, width: shown ? Math.max(x(to) - x(from), 2) : 0, height: thick});
      }
    });
  }

  function place(one, attributes) {
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, typeof value === "number" ? Math.round(value * 10) / 10 : value);
  }

  function filter() {
    const wanted = id("find").value.toLowerCase(), state = id("only").value;
    for (const row of rows) {
      const fits = (!state || row.classList.contains(state)) && (!wanted || row.textContent.toLowerCase().includes(wanted));
      row.classList.toggle("hidden", !fits);
    }
  }

  async function events() {
    if (!id("events").open) return;
    try {
      const body = id("events").querySelector("tbody");
      const found = await read("events");
      body.replaceChildren(...found.map((cells) => {
        const row = document.createElement("tr");
        for (const cell of cells) row.append(Object.assign(document.createElement("td"), {textContent: cell}));
        return row;
      }));
    } catch {
      text(id("live"), "The events could not be read. Close and open them to try again.");
    }
  }

  const seconds = Number(dataset.seconds);
  let timer = null, polling = false;

  // Polls while the tab is visible and the run is open; a failure doubles the wait, up to a minute.
  async function poll() {
    timer = null;
    if (document.hidden || polling) return;
    polling = true;
    try {
      if (!graph) drawGraph(await read("graph"));
      const state = await read(`state?version=${encodeURIComponent(known.version)}`);
      failures = 0;
      if (state) show(state); else timeline();
      text(id("live"), known.over ? "" : `Updates every ${seconds} s.`);
    } catch (problem) {
      failures += 1;
      const over = problem.over === true;
      text(id("live"), over ? "The link to this page has ended. Open a new one." : "The page could not be updated. It tries again.");
      if (over) failures = Infinity;
    } finally {
      polling = false;
    }
    if ((!known.over || !graph) && failures !== Infinity) timer = setTimeout(poll, Math.min(60, seconds * 2 ** failures) * 1000);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden && (!known.over || !graph) && failures !== Infinity) poll();
  });
  for (const state of STATES) id("only").append(Object.assign(document.createElement("option"), {value: state, textContent: words(state)}));
  id("find").addEventListener("input", filter);
  id("only").addEventListener("change", filter);
  id("events").addEventListener("toggle", events);
  window.addEventListener("resize", timeline);
  timeline();
  poll();
})();
