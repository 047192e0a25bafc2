// The page looks after itself: once a second it asks whether anything is new, and changes only what has changed. It makes no sound.
"use strict";
(() => {
  const main = document.querySelector("[data-mark]");
  if (!main) return;
  const status = document.getElementById("status");
  const busy = new WeakSet();
  const ends = new Map();
  let timer = 0;
  let silence = 0;
  let turn = 0;
  let pressed = false;
  let news = [];

  const say = (text, seconds) => {
    clearTimeout(silence);
    if (status.textContent !== text) status.textContent = text;
    if (seconds) silence = setTimeout(say, 1000 * seconds, "");
  };

  // -- what ticks

  const tick = () => {
    let over = false;
    for (const [part, end] of ends) {
      const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      if (part.nodeName === "circle") part.setAttribute("stroke-dasharray", left + " " + part.getAttribute("pathLength"));
      else part.textContent = "minutes" in part.dataset ? Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0") : left;
      if (!left) over = ends.delete(part);
    }
    if (over) look();
  };

  const wind = () => {
    ends.clear();
    for (const part of main.querySelectorAll("[data-left]")) ends.set(part, Date.now() + 1000 * part.dataset.left);
  };

  // -- what changes: everything that stays the same stays the same element, with its focus, selection, scroll position and what was typed into it

  const arrived = (part) => {
    if (part.nodeType !== Node.ELEMENT_NODE) return;
    for (const one of [part, ...part.querySelectorAll("[data-news]")]) {
      if (!one.dataset.news) continue;
      one.classList.add("fresh");
      const phone = one.closest("[data-name]");
      news.push((phone ? phone.dataset.name + ": " : "") + one.dataset.news);
    }
  };

  const attributes = (old, fresh) => {
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const name of old.getAttributeNames()) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  };

  // A list that somebody points at keeps its order, so that nothing slips away from under the pointer.
  const steady = (old, fresh) => {
    if (!("steady" in old.dataset) || !old.matches(":hover, :focus-within")) return;
    const place = new Map([...old.children].map((child, number) => [child.id, number]));
    const of = (child) => place.has(child.id) ? place.get(child.id) : place.size;
    fresh.append(...[...fresh.children].sort((one, other) => of(one) - of(other)));
  };

  const renew = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeName === "NOSCRIPT" || old.isEqualNode(fresh)) return;
    attributes(old, fresh);
    steady(old, fresh);
    const wanted = new Set([...fresh.children].map((child) => child.id));
    for (const child of [...old.children]) if (child.id && !wanted.has(child.id)) child.remove();
    const held = new Map([...old.children].map((child) => [child.id, child]));
    let spot = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const same = child.id ? held.get(child.id) : spot && !spot.id && spot.nodeName === child.nodeName ? spot : null;
      if (same) {
        if (same === spot) spot = spot.nextSibling;
        else old.insertBefore(same, spot);
        renew(same, child);
      } else {
        old.insertBefore(child, spot);
        arrived(child);
      }
    }
    while (spot) {
      const next = spot.nextSibling;
      spot.remove();
      spot = next;
    }
  };

  // -- asking and pressing

  const look = async () => {
    clearTimeout(timer);
    const mine = ++turn;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "If-None-Match": `"${main.dataset.mark}"` }, cache: "no-store" });
      const text = await answer.text();
      if (mine !== turn) return;
      if (answer.status === 404) throw new Error("This phone is gone. Was the simulator started anew?");
      // A press or a selection that has begun is not disturbed; what is new waits until it is done.
      if (answer.status === 200 && !pressed) {
        const fresh = new DOMParser().parseFromString(text, "text/html");
        news = [];
        renew(main, fresh.querySelector("[data-mark]"));
        document.title = fresh.title;
        wind();
        tick();
        if (news.length) say("New: " + news.join(" "), 6);
      }
      if (status.dataset.lost) say(status.dataset.lost = "");
    } catch (error) {
      if (mine !== turn) return;
      status.dataset.lost = "yes";
      say(error instanceof TypeError ? "The simulator does not answer. Is it still running?" : error.message);
    }
    timer = setTimeout(look, 1000);
  };

  const press = async (form, button) => {
    const fields = new URLSearchParams(new FormData(form));
    if (button && button.name) fields.set(button.name, button.value);
    const home = form.closest(".phone") || form.closest("section");
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", headers: { Accept: "application/json" }, body: fields });
      const told = answer.ok ? form.dataset.done : (await answer.json()).message;
      await look();
      if (told) say(told, answer.ok ? 6 : 0);
    } catch {
      say("The simulator does not answer. Is it still running?");
    }
    // The button may be gone with what it was for: then the focus stays near.
    const near = document.activeElement === document.body && home && home.querySelector("[role=region], summary, button");
    if (near) near.focus({ preventScroll: true });
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.getAttribute("method") !== "post") return;
    event.preventDefault();
    if (busy.has(form)) return;
    busy.add(form);
    await press(form, event.submitter);
    busy.delete(form);
  });

  for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
    document.addEventListener(kind, (event) => { pressed = kind !== "pointercancel" && event.buttons > 0; }, { capture: true, passive: true });
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

  wind();
  setInterval(tick, 250);
  look();
})();
