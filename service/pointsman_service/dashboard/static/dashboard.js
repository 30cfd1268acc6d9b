// What pages do beyond links and forms: times stay right, one stream keeps figures fresh, keys, copying.
// Nothing here makes markup of text: what is written is written as text.
"use strict";
(() => {
  const body = document.body;
  const stream = document.getElementById("stream");
  const STALE_AFTER = 8500;
  const ASK_AGAIN = 5000;
  const ANSWER_AFTER = 10000;
  let skew = body.dataset.asOf ? Date.parse(body.dataset.asOf) - Date.now() : 0;

  // Times

  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  function rough(seconds) {
    const [size, unit] = UNITS.find(([size]) => seconds >= size) || [1, "s"];
    return `${Math.floor(seconds / size)} ${unit}`;
  }

  function nearest(seconds) {
    const [size] = UNITS.find(([size]) => seconds >= size) || [1];
    return Math.round(seconds / size) * size;
  }

  function relative(at) {
    const seconds = (Date.now() + skew - at) / 1000;
    if (Math.abs(seconds) < 1) return "now";
    return seconds > 0 ? `${rough(seconds)} ago` : `in ${rough(nearest(-seconds))}`;
  }

  function write(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }

  function tick() {
    for (const one of document.querySelectorAll("time[data-ago]")) {
      const at = Date.parse(one.dateTime);
      write(one, one.dataset.past && at <= Date.now() + skew ? one.dataset.past : relative(at));
    }
  }

  const clock = (iso) => iso.slice(11, 19);

  // Copying, also on plain HTTP

  function offerCopies(root) {
    for (const one of root.querySelectorAll("button[data-copy][hidden]")) one.hidden = false;
  }

  async function copy(text) {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return;
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (!button) return;
    await copy(button.dataset.copy);
    write(button, "copied");
    say("Copied");
    setTimeout(() => write(button, "copy"), 1500);
  });

  // What is told to who cannot see it

  const announced = document.getElementById("announced");
  let lastSaid = null;

  function say(text) {
    write(announced, text);
  }

  // Forms

  document.addEventListener("submit", (event) => {
    const token = event.target.querySelector("input[name=token]");
    // What came by the stream is for everybody, so it has none.
    if (token && !token.value) token.value = body.dataset.token;
    if (event.target.method === "get") {
      // What is left empty narrows nothing: the address says only what does.
      for (const one of event.target.elements) one.disabled = one.name !== "" && one.value === "";
    }
    if (event.target.method === "post") {
      // Once is enough; the pressed button must still be sent. Who gives up on an answer may press it again.
      const able = (yes) => {
        for (const one of event.target.querySelectorAll("button")) one.disabled = !yes;
      };
      setTimeout(able, 0, false);
      setTimeout(able, ANSWER_AFTER, true);
    }
  }, true);

  window.addEventListener("pageshow", () => {
    for (const one of document.querySelectorAll("form :disabled")) one.disabled = false;
  });

  // Rows stay where they are while somebody is at them; new ones are asked for

  const held = new Map();
  const toast = document.createElement("button");
  toast.id = "held";
  toast.type = "button";
  toast.hidden = true;
  body.append(toast);
  let pointer = null;
  document.addEventListener("pointermove", (event) => { pointer = event.target; }, { passive: true });
  document.addEventListener("pointerleave", () => { pointer = null; });

  function occupied(element) {
    const region = element.closest("table") || element;
    const selection = document.getSelection();
    return region.contains(pointer) || region.contains(document.activeElement)
      || (selection && !selection.isCollapsed && region.contains(selection.anchorNode));
  }

  const rowsOf = (element) => [...element.children].filter((row) => row.id);

  function keepSteady(incoming) {
    const present = document.getElementById(incoming.id);
    if (!present) return;
    const old = rowsOf(present).filter((row) => !row.classList.contains("gone"));
    const fresh = new Map(rowsOf(incoming).map((row) => [row.id, row]));
    const same = old.length === fresh.size && [...fresh.keys()].every((id, index) => old[index].id === id);
    if (same || !occupied(present)) {
      held.delete(incoming.id);
      return;
    }
    held.set(incoming.id, { rows: [...incoming.children].map((row) => row.cloneNode(true)), noun: incoming.dataset.steady });
    const shown = rowsOf(present).map((row) => {
      const known = fresh.get(row.id);
      if (known) return known;
      const gone = row.cloneNode(true);
      gone.classList.add("gone");
      return gone;
    });
    const added = [...fresh.keys()].filter((id) => !document.getElementById(id)).length;
    held.get(incoming.id).says = added ? `${added} new: show` : "The list has changed: show";
    incoming.replaceChildren(...shown);
  }

  function offerHeld() {
    toast.hidden = held.size === 0;
    if (held.size) {
      const text = [...held.values()].map((one) => one.says).join(", ");
      if (toast.textContent !== text) say(text);
      write(toast, text);
    }
  }

  toast.addEventListener("click", (event) => {
    const [list] = held.keys();
    const row = document.activeElement.closest("[data-steady] > [id]")?.id;
    for (const [id, one] of held) document.getElementById(id)?.replaceChildren(...one.rows);
    held.clear();
    if (event.detail === 0) {
      // It was a key: who pressed it goes on from the row where they were, or from the first.
      const at = document.getElementById(row) || rowsOf(document.getElementById(list) || body)[0];
      at?.querySelector("a, button")?.focus();
    }
    offerHeld();
    freshen();
  });

  document.addEventListener("htmx:before:swap", (event) => {
    for (const task of event.detail.tasks || []) {
      for (const one of task.fragment?.querySelectorAll?.("[data-steady]") || []) keepSteady(one);
      for (const one of task.fragment?.querySelectorAll?.("details[id]") || []) {
        // What somebody opened stays open.
        one.open = document.getElementById(one.id)?.open ?? one.open;
      }
    }
    offerHeld();
    rememberFocus();
  });

  // Who is at something by keyboard stays there while it is what it was. Where it is gone, or another act has taken its
  // place, they are at that part of the page: nobody is sent to the top, or presses what they have not read.

  let focused = null;

  const does = (element) => [element.href, element.form?.action, element.value, element.localName].join(" ");

  function rememberFocus() {
    const element = document.activeElement;
    const part = element?.closest("[id^=live-]");
    focused = part ? { element, part: part.id, does: does(element) } : null;
  }

  function keepFocus() {
    if (!focused) return;
    const { element, part, does: did } = focused;
    const now = document.activeElement;
    const other = now === element && (element.id === part || does(element) !== did);
    const there = document.getElementById(part);
    focused = null;
    if (!there || !(other || now === document.body)) return;
    there.tabIndex = -1;
    there.focus({ preventScroll: true });
  }

  document.addEventListener("htmx:after:swap", keepFocus);

  function freshen() {
    tick();
    offerCopies(document);
  }

  document.addEventListener("htmx:after:swap", freshen);

  // The stream

  const stateOfStream = document.getElementById("stream-state");
  const stale = document.createElement("div");
  stale.id = "stale";
  stale.setAttribute("role", "alert");
  stale.hidden = true;
  body.append(stale);
  let freshAt = performance.now();
  let asOf = body.dataset.asOf;
  let fault = null;
  let asking = false;
  let askAt = 0;

  function show(state, text) {
    stateOfStream.dataset.state = state;
    write(stateOfStream, text);
  }

  function isOpen() {
    return Boolean(stream._htmx?.sse);
  }

  function judge() {
    if (!stream || document.hidden) return;
    const lost = performance.now() - freshAt > STALE_AFTER;
    body.classList.toggle("stale", Boolean(fault) || lost);
    if (fault || lost) {
      const why = fault || "Nothing has come from the server.";
      write(stale, `${why} What is shown is as of ${clock(asOf)} UTC, ${relative(Date.parse(asOf))}.`);
      show("lost", "not live");
    }
    stale.hidden = !(fault || lost);
  }

  function hear(beat) {
    fault = beat.fault;
    if (!fault) {
      // The page is as of when it was looked at; that nothing changed since was known so many seconds ago.
      freshAt = performance.now() - beat.age * 1000;
      asOf = beat.as_of;
      skew = Date.parse(beat.at) - Date.now();
      const shown = document.getElementById("as-of");
      shown.dateTime = beat.as_of;
      write(shown, clock(beat.as_of));
      const recorded = document.querySelector("#recorded time");
      if (recorded && beat.recorded) recorded.dateTime = beat.recorded;
      document.title = beat.title;
      if (lastSaid !== null && beat.says && beat.says !== lastSaid) say(beat.says);
      lastSaid = beat.says;
      show(isOpen() ? "live" : "resting", isOpen() ? "live" : `every ${ASK_AGAIN / 1000} s`);
      notes(beat.missing, beat.release !== stream.dataset.release);
    }
    judge();
    tick();
  }

  function notes(missing, other) {
    const banner = document.getElementById("banner");
    const wanted = [...missing];
    if (other) wanted.push("Another release runs now: load this page again.");
    const text = wanted.join("\n");
    if (banner.dataset.text === text) return;
    if (banner.dataset.text === undefined && !wanted.length && !banner.children.length) return;
    banner.dataset.text = text;
    banner.replaceChildren(...wanted.map((line) => {
      const note = document.getElementById("note").content.firstElementChild.cloneNode(true);
      note.querySelector("p").textContent = line;
      return note;
    }));
  }

  if (stream) {
    stream.addEventListener("beat", (event) => {
      const given = event.detail;
      hear(typeof given.data === "string" ? JSON.parse(given.data) : given);
    });
    const ended = () => {
      asking = false;
      askAt = performance.now() + ASK_AGAIN;
    };
    stream.addEventListener("htmx:before:request", () => {
      asking = true;
      askAt = performance.now() + ASK_AGAIN;
    });
    stream.addEventListener("htmx:after:request", ended);
    stream.addEventListener("htmx:error", ended);
    stream.addEventListener("htmx:sse:close", ended);
    const listen = () => {
      if (document.hidden || isOpen() || asking || performance.now() < askAt) return;
      // Nothing comes of it until htmx has seen the element.
      stream.dispatchEvent(new CustomEvent("listen"));
    };
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      askAt = 0;
      judge();
      listen();
    });
    window.addEventListener("load", () => {
      listen();
      setInterval(listen, 250);
    });
  }

  setInterval(() => {
    if (document.hidden) return;
    tick();
    judge();
  }, 1000);

  // A page that could not be shown is asked for again

  const again = document.getElementById("again");
  if (again) {
    setInterval(async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        if (answer.status < 500) location.reload();
      } catch {
        // The server is not there yet.
      }
    }, Number(again.dataset.againSeconds) * 1000);
  }

  // Keys

  const help = document.getElementById("help");
  document.getElementById("help-link").addEventListener("click", (event) => {
    event.preventDefault();
    help.showModal();
  });

  const rows = () => [...document.querySelectorAll("[data-rows] > *")].filter((row) => row.querySelector("a, button"));

  function move(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1);
    all[next].querySelector("a, button").focus();
    all[next].scrollIntoView({ block: "nearest" });
  }

  let going = -Infinity;
  document.addEventListener("keydown", (event) => {
    if (body.dataset.keys !== "on" || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const at = event.target;
    if (at.closest?.("input, textarea, select, [contenteditable]")) {
      if (event.key === "Escape") at.blur();
      return;
    }
    const goes = performance.now() - going < 1500;
    going = -Infinity;
    if (goes) {
      const link = document.querySelector(`nav.pages a[data-key="${CSS.escape(event.key)}"]`);
      if (link) link.click();
      return;
    }
    if (event.key === "g") going = performance.now();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "r" && !toast.hidden) toast.click();
    else if (event.key === "?") help.showModal();
    else if (event.key === "/") document.getElementById("find").focus();
    else return;
    event.preventDefault();
  });

  freshen();
})();
