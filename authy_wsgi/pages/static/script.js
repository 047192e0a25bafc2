"use strict";

// Everything here is comfort: without it the pages refresh themselves and their buttons do the same.

const clock = (seconds) => Math.floor(seconds / 60) + ":" + String(seconds % 60).padStart(2, "0");

function countdown(seconds, each, done) {
  const ends = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.max(0, Math.ceil((ends - Date.now()) / 1000));
    if (left === 0) return done();
    each(left);
    setTimeout(tick, 250);
  };
  tick();
}

for (const button of document.querySelectorAll("button[data-wait]")) {
  const words = button.dataset.words;
  const wait = Number(button.dataset.wait);
  if (wait > 0) {
    button.disabled = true;
    countdown(wait, (left) => { button.textContent = words + " in " + clock(left); }, () => {
      button.disabled = false;
      button.textContent = words;
    });
  }
}

// A double click sends once; the button comes back when the page does.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", () => setTimeout(() => { form.querySelector("button").disabled = true; }, 0));
}
addEventListener("pageshow", (event) => {
  for (const button of document.querySelectorAll("form[data-once] button")) button.disabled = false;
  // Back to a page whose press has sent something: the person may press again.
  if (event.persisted) for (const button of document.querySelectorAll("form[data-press] button")) button.disabled = false;
});

const press = document.querySelector("form[data-press]");
// By the prototype: a form that was kept may have a field of that name.
if (press) {
  HTMLFormElement.prototype.submit.call(press);
  // A second press while the first is under way would send it twice.
  press.querySelector("button").disabled = true;
}

const country = document.querySelector("select[name=country]");
const phone = document.querySelector("input[name=phone]");
if (country && phone) {
  const suggest = () => {
    const code = country.selectedOptions[0] && country.selectedOptions[0].dataset.code;
    if (code && phone.value.trim() === "") phone.placeholder = code;
  };
  country.addEventListener("change", suggest);
  suggest();
}

const push = document.getElementById("push");
if (push && push.dataset.state === "pending") waitForAnswer(push);

function waitForAnswer(form) {
  const state = document.getElementById("state");
  const left = form.querySelector("[data-left]");
  let spoken = state.textContent;
  const say = (text) => {
    if (text !== spoken) { spoken = text; state.textContent = text; }
  };
  countdown(Number(left.dataset.left), (seconds) => { left.textContent = clock(seconds) + " left"; }, () => { left.textContent = ""; });
  const fields = new URLSearchParams(new FormData(form));
  const again = (milliseconds) => setTimeout(ask, milliseconds);
  async function ask() {
    let answer;
    try {
      const response = await fetch(form.dataset.poll, { method: "POST", body: fields, headers: { Accept: "application/json" }, redirect: "error" });
      answer = await response.json();
    } catch (_error) {
      say("The connection is gone. We keep trying…");
      return again(2000);
    }
    switch (answer.state) {
      case "pending":
        say("Waiting for your answer…");
        return again(1000);
      case "unavailable":
        say("The phone service does not answer just now. We keep trying…");
        return again(2000);
      case "approved":
        say("Approved. Taking you on…");
        break;
      case "denied":
        say("Denied on your phone.");
        break;
      case "expired":
        say("The request has run out.");
        break;
      default:
        say("This sign-in has ended.");
    }
    left.textContent = "";
    setTimeout(() => location.assign(answer.url || location.href), 600);
  }
  again(1000);
}
