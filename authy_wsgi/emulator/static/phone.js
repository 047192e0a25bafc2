// The page looks after itself: once a second it asks whether anything is new, and renews only the parts that changed.
"use strict";
(() => {
  const main = document.querySelector("[data-watch]");
  if (!main) return;
  const status = document.getElementById("status");
  const parts = () => document.querySelectorAll("[data-live]");
  const seen = new Map([...parts()].map((part) => [part.id, part.innerHTML]));
  let last = null;
  let deadline = 0;

  const start = () => {
    const left = document.querySelector("[data-left]");
    deadline = left ? Date.now() + 1000 * Number(left.textContent) : 0;
  };

  const tick = () => {
    const left = document.querySelector("[data-left]");
    if (left) left.textContent = Math.max(0, Math.ceil((deadline - Date.now()) / 1000));
  };

  const renew = (fresh) => {
    const focused = document.activeElement && document.activeElement.id;
    const news = [];
    for (const part of parts()) {
      const other = fresh.getElementById(part.id);
      if (!other || seen.get(part.id) === other.innerHTML) continue;
      const before = part.querySelectorAll("article").length;
      seen.set(part.id, other.innerHTML);
      part.innerHTML = other.innerHTML;
      const first = part.id === "pending" ? part.querySelector("article:last-of-type") : part.querySelector("article");
      if (first && part.querySelectorAll("article").length > before) {
        first.classList.add("fresh");
        news.push(first.querySelector("p").textContent.trim());
      }
      if (part.id === "app") start();
    }
    if (news.length) status.textContent = "New: " + news.join(" ");
    const back = focused && document.getElementById(focused);
    if (back && back !== document.activeElement) back.focus({ preventScroll: true });
  };

  const get = async (address, accept) => {
    const answer = await fetch(address, { headers: { Accept: accept }, cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    return answer.text();
  };

  const look = async () => {
    try {
      const said = main.dataset.watch ? await get(main.dataset.watch, "application/json") : null;
      const minute = Math.floor(Date.now() / 60000);
      if (said === null || said + minute !== last) {
        renew(new DOMParser().parseFromString(await get(location.href, "text/html"), "text/html"));
        last = said + minute;
      }
      if (status.dataset.lost) status.textContent = status.dataset.lost = "";
    } catch {
      status.dataset.lost = "yes";
      status.textContent = "The simulator does not answer. Is it still running?";
    }
    setTimeout(look, 1000);
  };

  start();
  setInterval(tick, 250);
  look();
})();
