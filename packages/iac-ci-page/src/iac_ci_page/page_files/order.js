// The page of an order: follows its log. All text comes in as text, never as markup.
"use strict";
(() => {
  const SECONDS = 3;
  // More lines than a browser can keep at ease: a log of a megabyte may have a million.
  const MOST_LINES = 50_000;
  const base = location.pathname.replace(/\/+$/, "");
  const id = (name) => document.getElementById(name);
  const {order, attempt} = document.body.dataset;
  const log = id("log"), decoder = new TextDecoder();
  // Escape sequences of terminals, and control characters but tab, are not shown.
  const INVISIBLE = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -\/]{0,4}[0-Z\\^-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
  let part = 0, offset = 0, rest = "", count = 0, group = null, timer = null, reading = false, over = false, failures = 0;
  let matches = [], at = -1;

  function line(text) {
    const shown = text.slice(text.lastIndexOf("\r", text.length - 2) + 1).replace(INVISIBLE, "");
    count += 1;
    if (shown.startsWith("$ ")) {
      group = document.createElement("details");
      group.open = id("fold").getAttribute("aria-pressed") !== "true";
      group.append(Object.assign(document.createElement("summary"), {textContent: shown}));
      log.append(group);
    }
    const row = document.createElement("div");
    row.className = "line";
    row.id = `L${count}`;
    const link = Object.assign(document.createElement("a"), {textContent: String(count), href: `#L${count}`});
    link.setAttribute("aria-label", `Line ${count}`);
    row.append(link, Object.assign(document.createElement("span"), {textContent: shown}));
    (group ?? log).append(row);
  }

  function add(text, last) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    lines.slice(0, MOST_LINES - count).forEach(line);
    if (last && rest && count < MOST_LINES) line(rest);
    if (last || count >= MOST_LINES) rest = "";
  }

  async function poll() {
    timer = null;
    if (document.hidden || over || reading) return;
    reading = true;
    try {
      const query = `order=${order}&attempt=${attempt}&part=${part}&offset=${offset}`;
      const answer = await fetch(`${base}/log?${query}`, {credentials: "same-origin", cache: "no-store"});
      if (answer.status === 403 || answer.status === 404) {
        over = true;
        note("The link to this page has ended. Open a new one.");
        return;
      }
      if (!answer.ok) throw new Error();
      const piece = await answer.json();
      failures = 0;
      const bytes = Uint8Array.from(atob(piece.data), (one) => one.charCodeAt(0));
      ({part, offset} = piece);
      add(decoder.decode(bytes, {stream: !piece.last}), piece.last);
      over = piece.last;
      id("download").hidden = !piece.last;
      if (count >= MOST_LINES) note(`Only the first ${MOST_LINES.toLocaleString("en")} lines are shown. Download the whole log after the order has ended.`);
      else if (piece.cut) note("Only the first megabyte is shown. Download the whole log after the order has ended.");
      else note(over ? (count ? "" : "The order has no log.") : "The order has not ended. New output appears within 30 seconds.");
      if (bytes.length) { find(false); jump(); }
      if (id("tail").checked) log.scrollTop = log.scrollHeight;
    } catch {
      failures += 1;
      note("The log could not be read. The page tries again.");
    } finally {
      reading = false;
      if (!over) timer = setTimeout(poll, Math.min(60, SECONDS * 2 ** failures) * 1000);
    }
  }

  function note(text) {
    if (id("note").textContent !== text) id("note").textContent = text;
  }

  let jumped = "";
  function jump() {
    const hash = location.hash;
    if (!/^#L[0-9]{1,7}$/.test(hash) || jumped === hash) return;
    const row = id(hash.slice(1));
    if (!row) return;
    jumped = hash;
    show(row);
  }

  function show(row) {
    for (const one of log.querySelectorAll(".here")) one.classList.remove("here");
    row.classList.add("here");
    const fold = row.closest("details");
    if (fold) fold.open = true;
    row.scrollIntoView({block: "center"});
  }

  function find(move) {
    const wanted = id("find").value.toLowerCase();
    for (const row of matches) row.classList.remove("match");
    matches = wanted ? [...log.querySelectorAll(".line")].filter((row) => row.lastElementChild.textContent.toLowerCase().includes(wanted)) : [];
    for (const row of matches) row.classList.add("match");
    at = move ? 0 : Math.min(at, matches.length - 1);
    id("found").textContent = wanted ? `${matches.length} lines` : "";
    if (move && matches.length) show(matches[0]);
  }

  id("find").addEventListener("input", () => find(true));
  id("find").addEventListener("keydown", (event) => { if (event.key === "Enter") next(); });
  id("next").addEventListener("click", next);
  function next() {
    if (!matches.length) return;
    at = (at + 1) % matches.length;
    show(matches[at]);
  }
  id("fold").addEventListener("click", () => {
    const fold = id("fold").getAttribute("aria-pressed") !== "true";
    id("fold").setAttribute("aria-pressed", String(fold));
    for (const one of log.querySelectorAll("details")) one.open = !fold;
  });
  id("tail").addEventListener("change", () => { if (id("tail").checked) log.scrollTop = log.scrollHeight; });
  window.addEventListener("hashchange", () => { jumped = ""; jump(); });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) poll();
  });
  poll();
})();
