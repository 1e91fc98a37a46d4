/* <flashsale-line sale="…" line="…">: the line on a page of another site. See docs/partner.md. Served as /snippet.js. */
(() => {
"use strict";
const TEXTS = "TEXTS";
const { origin } = new URL(document.currentScript.src);
const MINUTE = 60000;

// The number of a ticket, as flashsale/rules/lottery.py.
async function numberOf(index, cohort, seed) {
  if (index > cohort) return index;
  const input = new Uint8Array(41), view = new DataView(input.buffer);
  input.set(seed.match(/../g).map((hex) => parseInt(hex, 16)));
  const size = 2 ** Math.ceil((cohort - 1).toString(2).length / 2);
  let x = index - 1;
  do {
    let left = Math.floor(x / size), right = x % size;
    for (let round = 0; round < 10; round++) {
      input[32] = round;
      view.setUint32(37, right);
      const hash = new DataView(await crypto.subtle.digest("SHA-256", input));
      [left, right] = [right, (left ^ hash.getUint32(4)) & (size - 1)];
    }
    x = left * size + right;
  } while (x >= cohort);
  return x + 1;
}

// As flashsale/rules/polling.py.
function nextPoll({ pace, poll_ms, opens_at, called, claim_ms, entered }, { number, waiting }, now, random) {
  const factor = 0.8 + random / 5;
  if (pace === null) return poll_ms * (factor + 0.2);
  const early = Math.max(0, opens_at - now);
  const ahead = pace && Math.max(0, ((number - called) * 1000) / pace - 1000);
  const near = number ? factor * (early + ahead + claim_ms / 10 - 1500) : early ? early + 2000 + random * (pace && entered / 10) : 2000 * factor;
  return Math.max(500, Math.min(poll_ms * factor, waiting ? near : 1 / 0));
}

function duration(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000)), parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return (parts[0] ? parts : parts.slice(1)).map((part) => String(part).padStart(2, "0")).join(":");
}

async function ask(url, options) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), 15000);
  try {
    const answer = await fetch(url, Object.assign({ signal: abort.signal }, options));
    if (!answer.ok) throw { after: 1000 * answer.headers.get("Retry-After") };
    return await answer.json();
  } finally {
    clearTimeout(timer);
  }
}

function start(host) {
  const get = (name) => host.getAttribute(name);
  const lang = /^en/i.test((host.closest("[lang]") || host).lang) ? "en" : "id";
  const texts = TEXTS[lang];
  const count = (value) => value.toLocaleString(lang);
  const make = (tag, box) => box.appendChild(document.createElement(tag));
  const box = make("div", host);
  const [phase, alert, said, note, list] = ["p", "p", "p", "p", "dl"].map((tag) => make(tag, box));
  [alert, said, note].forEach((part, at) => part.setAttribute("role", at ? "status" : "alert"));
  const facts = {}, calls = [];
  let doc, place, receivedAt, timer, busy, gone, rounded, failures = 0, notBefore = 0;

  const now = () => doc.now + (doc.phase === "paused" ? 0 : performance.now() - receivedAt);

  function say(part, text) {
    text = text || "";
    if (part.textContent !== text) part.textContent = text;
  }

  function fact(name, text) {
    const row = facts[name] = facts[name] || [make("dt", list), make("dd", list)];
    say(row[0], texts[name]);
    say(row[1], text);
    row[0].hidden = row[1].hidden = !text;
  }

  async function poll() {
    clearTimeout(timer);
    if (busy || gone) return;
    busy = true;
    let after = 0;
    try {
      const fresh = await ask(`${origin}/v1/sales/${get("sale")}/lines/${get("line")}/status`, { credentials: "omit" });
      if (!doc || fresh.now > doc.now) receivedAt = performance.now();
      else fresh.now = doc.now;
      doc = fresh;
      calls.push([doc.now, doc.called]);
      while (doc.now - calls[0][0] > MINUTE) calls.shift();
      await find();
      failures = 0;
      host.dispatchEvent(new CustomEvent("flashsale-line", { bubbles: true, detail: { phase: doc.phase, place } }));
    } catch (refused) {
      failures++;
      after = refused.after || 0;
    }
    busy = false;
    render();
    notBefore = Date.now() + after;
    const mine = Object.assign({ waiting: place && place.state === "waiting" }, place);
    const wait = Math.max(Math.min(MINUTE, 1000 * 2 ** failures) * (0.8 + 0.4 * Math.random()), after * (1 + Math.random() / 5));
    timer = setTimeout(poll, failures ? wait : nextPoll(doc, mine, now(), Math.random()));
  }

  // The shop's server looks (attribute place), or the ticket is public (attribute index).
  async function find() {
    const url = get("place"), index = Number(get("index"));
    const look = async () => (place = await ask(url, { cache: "no-store" }));
    if (place === undefined) {
      if (url) await look();
      else place = index ? { index, state: "waiting" } : null;
    }
    if (!place) return;
    if (doc.seed && !place.number && crypto.subtle) place.number = await numberOf(place.index, doc.cohort, doc.seed);
    const called = doc.seed && !(place.number > doc.called);
    if (url) {
      if (place.state === "waiting" ? called : place.state === "called" && now() >= place.claim_ends) await look();
    } else if (called && place.number) place.state = "called";
  }

  function render() {
    // Two lines are Indonesian and English.
    say(note, failures > 1 ? texts.lost : doc && (doc.message.split("\n")[lang === "en" ? 1 : 0] || doc.message));
    if (!doc) return;
    const { index, number, state, claim_ends } = place || {};
    const open = doc.phase === "open";
    const ahead = number && Math.max(0, number - doc.called - 1);
    const rate = (doc.called - calls[0][1]) / (doc.now - calls[0][0]);
    const left = rate > 0 && ahead < doc.free - doc.claims && (ahead + 1) / rate;
    const waits = number && state === "waiting";
    const size = 10 ** Math.min(3, Math.max(1, Math.floor(Math.log10(ahead))));
    if (waits) rounded = Math.ceil(ahead / size) * size;
    say(phase, open && doc.sold && !(doc.free + doc.held + doc.coming) ? texts.gone : texts[doc.phase]);
    say(alert, state === "called" && open && texts.turn);
    say(said, waits ? texts.about.replace("{n}", count(rounded)) : index && (state === "waiting" ? texts.draw : texts["is_" + state]));
    fact("opens", now() < doc.opens_at && duration(doc.opens_at - now()));
    fact("left", state === "called" && claim_ends && duration(claim_ends - now()));
    fact("ticket", index && count(index));
    fact("number", number && count(number));
    fact("ahead", waits && count(ahead));
    fact("wait", waits && left && duration(left));
    fact("entered", count(doc.entered));
    fact("upto", doc.seed && count(doc.called));
    fact("free", count(doc.free));
  }

  const soon = () => document.hidden || Date.now() < notBefore || poll();
  const clock = setInterval(() => doc && render(), 1000);
  addEventListener("pageshow", soon);
  addEventListener("online", soon);
  document.addEventListener("visibilitychange", soon);
  poll();
  return {
    again() {
      place = undefined;
      poll();
    },
    stop() {
      gone = true;
      clearTimeout(timer);
      clearInterval(clock);
      removeEventListener("pageshow", soon);
      removeEventListener("online", soon);
      document.removeEventListener("visibilitychange", soon);
      box.remove();
    },
  };
}

function Line() {
  return Reflect.construct(HTMLElement, [], Line);
}
Object.assign(Line, { numberOf, nextPoll, observedAttributes: ["index", "place"] });
Line.prototype = Object.create(HTMLElement.prototype);
Object.assign(Line.prototype, {
  constructor: Line,
  connectedCallback() {
    this.run = start(this);
  },
  disconnectedCallback() {
    this.run.stop();
    this.run = 0;
  },
  attributeChangedCallback() {
    if (this.run) this.run.again();
  },
});
if (window.customElements && !customElements.get("flashsale-line")) customElements.define("flashsale-line", Line);
})();
