/* Requests, storage, numbers. */
"use strict";

let page = ({ sale, language, currency, texts }) => {
  const KEY = "fs:" + sale;
  const stored = {};
  try {
    Object.assign(stored, JSON.parse(localStorage.getItem(KEY)));
  } catch {}

  function store(changes) {
    Object.assign(stored, changes);
    try {
      localStorage.setItem(KEY, JSON.stringify(stored));
    } catch {}
  }

  const timeout = (ms) => (AbortSignal.timeout ? AbortSignal.timeout(ms) : undefined);

  /** Throws the problem; `again`: it may be sent again. */
  async function post(url, body = {}, extra = {}) {
    const csrf = document.querySelector("main > [name=csrfmiddlewaretoken]").value;
    const headers = { "Content-Type": "application/json", "Accept-Language": language, "X-CSRFToken": csrf, ...extra };
    let response;
    try {
      response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal: timeout(15000) });
    } catch {
      throw { title: texts.lost, again: true };
    }
    const data = await response.json().catch(() => null);
    if (response.ok && data) return data;
    throw { title: texts.error, ...data, again: response.ok || response.status === 429 || response.status >= 500 };
  }

  const count = (value) => value.toLocaleString(language);
  const money = (amount) => amount.toLocaleString("id", { style: "currency", currency, maximumFractionDigits: 0 });

  function duration(ms) {
    const seconds = Math.max(0, Math.ceil(ms / 1000));
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    return (parts[0] ? parts : parts.slice(1)).map((part) => String(part).padStart(2, "0")).join(":");
  }

  /** As tests/rules/estimates.py. */
  function rawChance({ free, held, claims, entered }, ahead) {
    if (ahead === undefined) return free / Math.max(1, entered);
    const takers = ahead + claims + held / 2;
    const margin = free + held / 2 - takers * 0.9 - 0.5;
    const spread = Math.hypot(Math.sqrt(takers * 0.09), takers * 0.1);
    return 1 / (1 + Math.exp(-1.702 * Math.max(-10, Math.min(10, margin / spread || margin * 100))));
  }

  const wait = (doc, ahead, rate) => rate > 0 && ahead < doc.free - doc.claims && (ahead + 1) / rate;

  function chance(doc, ahead) {
    if (doc.free + doc.held === 0) return !doc.coming && "0 %";
    return Math.min(95, Math.max(5, 5 * Math.floor(20 * rawChance(doc, ahead)))) + " %";
  }

  /** As flashsale/rules/polling.py. */
  function nextPoll({ pace, poll_ms, opens_at, called, claim_ms, entered }, { number, waiting }, now, random) {
    const factor = 0.8 + random / 5;
    if (pace === null) return poll_ms * (factor + 0.2);
    const early = Math.max(0, opens_at - now);
    const ahead = pace && Math.max(0, ((number - called) * 1000) / pace - 1000);
    const near = number ? factor * (early + ahead + claim_ms / 10 - 1500) : early ? early + 2000 + random * (pace && entered / 10) : 2000 * factor;
    return Math.max(500, Math.min(poll_ms * factor, waiting ? near : 1 / 0));
  }

  return { stored, store, timeout, post, count, money, duration, wait, chance, nextPoll };
};
