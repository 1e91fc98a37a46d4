/* How the page speaks to doors, to its memory (no personal data), to people. */
"use strict";

const page = ({ sale, language, currency, words }) => {
  const NAME = "fs:" + sale;
  const kept = {};
  // A store that is full or forbidden costs the memory.
  try {
    Object.assign(kept, JSON.parse(localStorage.getItem(NAME)));
  } catch {}

  function keep(changes) {
    Object.assign(kept, changes);
    try {
      localStorage.setItem(NAME, JSON.stringify(kept));
    } catch {}
  }

  const within = (ms) => (AbortSignal.timeout ? AbortSignal.timeout(ms) : undefined);

  async function post(url, body = {}, more = {}) {
    const csrf = document.querySelector("main > [name=csrfmiddlewaretoken]").value;
    const headers = { "Content-Type": "application/json", "Accept-Language": language, "X-CSRFToken": csrf, ...more };
    let answer;
    try {
      answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal: within(15000) });
    } catch {
      throw { title: words.lost, again: true };
    }
    const found = await answer.json().catch(() => null);
    if (answer.ok && found) return found;
    throw { title: words.error, ...found, again: answer.ok || answer.status === 429 || answer.status >= 500 };
  }

  const count = (value) => value.toLocaleString(language);
  const money = (amount) => amount.toLocaleString("id", { style: "currency", currency, maximumFractionDigits: 0 });

  function span(ms) {
    const seconds = Math.max(0, Math.ceil(ms / 1000));
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    return (parts[0] ? parts : parts.slice(1)).map((part) => String(part).padStart(2, "0")).join(":");
  }

  /* Estimates as in tests/rules/estimates.py. */
  const wait = ({ free, claims }, ahead, pace) => pace > 0 && ahead < free - claims && (ahead + 1) / pace;

  function share({ free, held, claims, entered }, ahead) {
    if (ahead === undefined) return free / Math.max(1, entered); // before the draw
    const takers = ahead + claims + held / 2;
    const margin = free + held / 2 - takers * 0.9 - 0.5;
    const spread = Math.hypot(Math.sqrt(takers * 0.09), takers * 0.1);
    return 1 / (1 + Math.exp(-1.702 * Math.max(-10, Math.min(10, margin / spread || margin * 100))));
  }

  function chance(doc, ahead) {
    if (doc.free + doc.held === 0) return !doc.coming && "0 %";
    return Math.min(95, Math.max(5, 5 * Math.floor(20 * share(doc, ahead)))) + " %";
  }

  return { kept, keep, within, post, count, money, span, wait, chance };
};
