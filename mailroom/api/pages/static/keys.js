// Keyboard shortcuts of the inbox. Every one presses a link or button that is on the page; without this file all of them work.
// A key acts only without Ctrl, Alt and Meta, never in a field, and not at all when the shortcuts are switched off.
"use strict";
(() => {
  const STORE = "mailroom-shortcuts", help = document.querySelector("[data-keys-help]");
  const toggle = document.querySelector("[data-keys-switch]");
  const rows = [...document.querySelectorAll("[data-row]")];
  const links = rows.map((row) => row.querySelector("a.cover"));
  let on = true;
  try { on = localStorage.getItem(STORE) !== "off"; } catch { /* Storage is closed: the shortcuts are on for this page. */ }

  function show() {
    if (!toggle) return;
    toggle.setAttribute("aria-pressed", String(on));
    toggle.textContent = on ? toggle.dataset.on : toggle.dataset.off;
  }
  if (help) help.hidden = false;
  if (toggle) toggle.addEventListener("click", () => {
    on = !on;
    try { localStorage.setItem(STORE, on ? "on" : "off"); } catch { /* As above. */ }
    show();
  });
  show();

  function here() { return rows.findIndex((row) => row.contains(document.activeElement)); }
  function go(step) {
    const at = here();
    const to = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
    if (links[to]) { links[to].focus(); links[to].scrollIntoView({ block: "nearest" }); }
  }
  function press(key) {
    const scope = rows.length ? rows[here()] : document;
    const found = scope && scope.querySelector(`[data-key="${key}"]`);
    if (found) found.click();
    return Boolean(found);
  }
  const actions = {
    j: () => (rows.length ? (go(1), true) : press("j")),
    k: () => (rows.length ? (go(-1), true) : press("k")),
    o: () => { const at = here(); if (at < 0) return false; links[at].click(); return true; },
    e: () => press("e"),
    u: () => press("u"),
    p: () => press("p"),
    "/": () => { const box = document.querySelector("[data-search]"); if (box) box.focus(); return Boolean(box); },
    "?": () => { if (!help) return false; help.open = !help.open; if (help.open) help.querySelector("summary").focus(); return true; },
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    if (!on || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat && event.key === "e") return;
    if (event.defaultPrevented || target.closest("input, textarea, select, [contenteditable], iframe")) return;
    const act = Object.hasOwn(actions, event.key) ? actions[event.key] : null;
    if (act && act()) event.preventDefault();
  });
})();
