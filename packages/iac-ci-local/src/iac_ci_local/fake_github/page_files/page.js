// Fetches what has changed and puts it in place; what the reader opened stays open.
"use strict";

const conversation = document.getElementById("conversation");
const state = document.getElementById("state");
let version = conversation.dataset.version;

function opened() {
  return [...conversation.querySelectorAll("details")].map((section) => section.open);
}

async function look() {
  try {
    const answer = await fetch(conversation.dataset.source, { headers: { Accept: "application/json" } });
    const said = await answer.json();
    state.textContent = "";
    if (said.version !== version) {
      const before = opened();
      version = said.version;
      conversation.innerHTML = said.html;
      conversation.dataset.version = version;
      conversation.querySelectorAll("details").forEach((section, number) => {
        section.open = before[number] === true;
      });
    }
  } catch {
    state.textContent = "The local cloud has ended; this page stays as it was.";
  }
  setTimeout(look, 1000);
}

setTimeout(look, 1000);
