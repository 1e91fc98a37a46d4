/* The live board: fetches what changes, keeps scroll, focus and open tables, and says when the figures are old. */
"use strict";

(() => {
  const board = document.getElementById("board");
  const stale = document.getElementById("board-stale");
  const EVERY = Number(board.dataset.every);
  const WAIT_MAX = 60000;
  let freshAt = performance.now(), clocksAt = freshAt, failures = 0, timer, busy;

  async function load() {
    const abort = new AbortController();
    const limit = setTimeout(() => abort.abort(), 15000);
    try {
      const answer = await fetch(board.dataset.part, { credentials: "same-origin", redirect: "error", signal: abort.signal });
      if (!answer.ok) throw new Error(answer.status);
      return new DOMParser().parseFromString(await answer.text(), "text/html").body;
    } finally {
      clearTimeout(limit);
    }
  }

  // Replaces only the parts that differ, so a part that stays keeps its focus and its place.
  function bring(from, into) {
    const fresh = Array.from(from.children);
    const same = fresh.length === into.children.length && fresh.every((part, at) => part.id && part.id === into.children[at].id);
    if (!same) {
      into.textContent = "";
      fresh.forEach((part) => into.appendChild(part));
      return;
    }
    fresh.forEach((part, at) => {
      const old = into.children[at];
      if (old.isEqualNode(part)) return;
      if (part.dataset.key && old.className === part.className) bring(part, old);
      else old.replaceWith(part);
    });
  }

  function renew(fresh) {
    const focused = document.activeElement && document.activeElement.id;
    const open = Array.from(board.querySelectorAll("details[open]"), (part) => part.dataset.key);
    // Clocks that ran and tables that were opened here are no differences.
    for (const part of board.querySelectorAll("details[open]")) part.open = false;
    const [x, y] = [window.scrollX, window.scrollY];
    bring(fresh, board);
    for (const key of open) {
      const part = board.querySelector(`details[data-key="${key}"]`);
      if (part) part.open = true;
    }
    const again = focused && document.getElementById(focused);
    if (again && document.activeElement !== again) again.focus({ preventScroll: true });
    window.scrollTo(x, y);
  }

  async function refresh() {
    clearTimeout(timer);
    if (busy || document.hidden) return;
    busy = true;
    try {
      renew(await load());
      freshAt = clocksAt = performance.now();
      failures = 0;
    } catch (_) {
      failures++;
    }
    busy = false;
    tick();
    if (!document.hidden) timer = setTimeout(refresh, Math.min(WAIT_MAX, EVERY * Math.pow(2, failures)));
  }

  function two(value) {
    return String(value).padStart(2, "0");
  }

  function shown(ms) {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    const days = Math.floor(seconds / 86400);
    const clock = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60].map(two).join(":");
    return days ? `${days} d ${clock}` : clock;
  }

  function tick() {
    const now = performance.now();
    for (const clock of board.querySelectorAll("[data-runs]")) {
      const text = shown(Number(clock.dataset.left) - (now - clocksAt));
      if (clock.textContent !== text) clock.textContent = text;
    }
    const old = now - freshAt;
    stale.hidden = old < 3 * EVERY;
    const text = stale.hidden ? "" : stale.dataset.text.replace("{n}", Math.round(old / 5000) * 5);
    if (stale.textContent !== text) stale.textContent = text;
    board.classList.toggle("old", !stale.hidden);
  }

  document.addEventListener("visibilitychange", refresh);
  window.addEventListener("online", refresh);
  setInterval(tick, 1000);
  timer = setTimeout(refresh, EVERY);
})();
