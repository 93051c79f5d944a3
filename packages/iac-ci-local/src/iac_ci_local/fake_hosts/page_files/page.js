// Fetches the conversation every second and shows a new version; sections that the reader opened stay open.
"use strict";

const conversation = document.getElementById("conversation");
const state = document.getElementById("state");
let version = conversation.dataset.version;

function opened() {
  return [...conversation.querySelectorAll("details")].map((section) => section.open);
}

async function refresh() {
  try {
    const answer = await fetch(conversation.dataset.source, { headers: { Accept: "application/json" } });
    const latest = await answer.json();
    state.textContent = "";
    if (latest.version !== version) {
      const before = opened();
      version = latest.version;
      conversation.innerHTML = latest.html;
      conversation.dataset.version = version;
      conversation.querySelectorAll("details").forEach((section, number) => {
        section.open = before[number] === true;
      });
    }
  } catch {
    state.textContent = "The local cloud has ended. This page is no longer updated.";
  }
  setTimeout(refresh, 1000);
}

setTimeout(refresh, 1000);
