/* The waiting page: see docs/architecture.md. */
"use strict";

/* The draw, as flashsale/rules/lottery.py. */
const draw = (() => {
  const ROUNDS = 10;
  const utf8 = (text) => new TextEncoder().encode(text);
  const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
  const hex = (raw) => Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const bigEndian = (value, size) => bytes(value.toString(16).padStart(2 * size, "0"));

  async function sha256(...parts) {
    const joined = Uint8Array.from([].concat(...parts.map((part) => Array.from(part))));
    return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
  }

  async function roundKey(seed, round, right) {
    const hash = await sha256(seed, [round], bigEndian(right, 8));
    return new DataView(hash.buffer).getUint32(4);
  }

  async function number(index, cohort, seed) {
    if (index > cohort) return index;
    const key = bytes(seed);
    const last = cohort - 1;
    const size = 2 ** Math.ceil(last.toString(2).length / 2);
    let x = index - 1;
    do {
      let [left, right] = [Math.floor(x / size), x % size];
      for (let round = 0; round < ROUNDS; round++) {
        [left, right] = [right, (left ^ (await roundKey(key, round, right))) & (size - 1)];
      }
      x = left * size + right;
    } while (x > last);
    return x + 1;
  }

  const commitment = async (secret) => hex(await sha256(utf8("flashsale/commit/v1"), bytes(secret)));

  async function seed(secret, line, cohort, beacon, root = "") {
    const code = utf8(line);
    const parts = [bytes(secret), bigEndian(code.length, 2), code, bigEndian(cohort, 8), bytes(root + beacon)];
    return hex(await sha256(utf8("flashsale/seed/v" + (root ? 2 : 1)), ...parts));
  }

  return { number, commitment, seed, sha256, bytes, hex, bigEndian };
})();

/* Estimates. */
const page = ({ language, currency }) => {
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
    return 1 / (1 + Math.exp(-1.702 * (margin / spread || margin * 100)));
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

  return { count, money, duration, wait, chance, nextPoll };
};

/* The steps. Local storage has no personal data. */
(() => {
  const byId = (id) => document.getElementById(id);
  if (!byId("script-data")) return;
  const queryAll = (selector) => document.querySelectorAll(selector);
  const data = JSON.parse(byId("script-data").textContent);
  const { texts } = data;
  const { count, money, duration, wait, chance, nextPoll } = page(data);
  const { number: numberOf } = draw;
  if (data.work) solve;
  const MINUTE = 60000;

  let doc = data.status, receivedAt = performance.now();
  let { place, proven, ended } = data;
  let contacts = {}, challenges, bought, step, announced, timer, polling, busy, failures = 0, notBefore = 0;
  const calls = [];

  const KEY = "fs:" + data.sale;
  const stored = {};
  try {
    Object.assign(stored, JSON.parse(localStorage.getItem(KEY)));
  } catch (_) {}

  function store(changes) {
    Object.assign(stored, changes);
    try {
      localStorage.setItem(KEY, JSON.stringify(stored));
    } catch (_) {}
  }

  function tell(text) {
    const alert = byId("alert");
    if (alert.textContent !== text) alert.textContent = text;
    alert.classList.toggle("now", text === texts.turn);
  }

  async function ask(url, options) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), 15000);
    const answer = await fetch(url, Object.assign({ signal: abort.signal }, options)).catch(() => null);
    const data = answer && (await answer.json().catch(() => null));
    clearTimeout(timer);
    if (!answer) throw { title: texts.unsent, again: true, after: 0 };
    const { ok, status, headers } = answer;
    // The payment has its turn later.
    if (ok && data && status !== 202) return data;
    const wait = headers.get("Retry-After");
    const until = Date.parse(wait) - (Date.parse(headers.get("Date")) || Date.now());
    const after = 1000 * wait || Math.max(0, until) || 0;
    throw Object.assign({ title: texts.error }, data, { ok, again: ok || status === 429 || status >= 500, after });
  }

  const csrf = () => (/csrftoken=(\w+)/.exec(document.cookie) || [])[1];

  function send(url, body, extra) {
    const headers = { "Content-Type": "application/json", "Accept-Language": data.language, "X-CSRFToken": csrf() };
    return ask(url, { method: "POST", headers: Object.assign(headers, extra), body: JSON.stringify(body || {}) });
  }

  const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

  const pause = (ms, after) => Math.max(ms * (0.8 + 0.4 * Math.random()), after * (1 + Math.random() / 5));

  /** Repeats until it is answered, with one key. */
  async function post(url, body, extra) {
    const headers = Object.assign({ "Idempotency-Key": newKey() }, extra);
    for (let ms = 1000; ; ms = Math.min(30000, 2 * ms)) {
      try {
        const data = await send(url, body, headers);
        if (ms > 1000) tell("");
        return data;
      } catch (refused) {
        const { again, after, code, ok } = refused;
        if (!again || after > 60000) throw refused;
        tell(code || ok ? texts.wait : texts.again);
        await new Promise((resolve) => {
          setTimeout(resolve, pause(ms, after));
          if (!after) addEventListener("online", resolve);
        });
      }
    }
  }

  const own = () => place || {};
  const now = () => doc.now + (doc.phase === "paused" ? 0 : performance.now() - receivedAt);
  const soldOut = () => doc.phase === "open" && doc.sold > 0 && doc.free + doc.held + doc.coming === 0;
  const rolled = () => doc.phase === "open" && doc.rolls_over_at && now() >= doc.rolls_over_at;

  async function poll() {
    if (polling) return;
    polling = true;
    clearTimeout(timer);
    let after = 0;
    try {
      update(await ask(data.hot + "status"));
      if (failures > 1 && !busy) tell("");
      failures = 0;
      await updatePlace();
    } catch (refused) {
      after = refused.after || 0;
      if (++failures === 2 && !busy) tell(place ? texts.lost : texts.again);
    }
    render();
    polling = false;
    notBefore = Date.now() + after;
    const next = Object.assign({ waiting: own().state === "waiting" }, place);
    timer = setTimeout(poll, failures ? pause(Math.min(MINUTE, 1000 * 2 ** failures), after) : nextPoll(doc, next, now(), Math.random()));
  }

  const pollNow = () => Date.now() < notBefore || poll();

  function update(fresh) {
    if (!fresh.phase) throw fresh;
    if (fresh.now > doc.now) receivedAt = performance.now();
    else fresh.now = doc.now;
    doc = fresh;
    if (doc.draw && !doc.seed) store({ root: doc.draw.root, round: doc.draw.round, line: data.line });
    calls.push([doc.now, doc.called]);
    while (doc.now - calls[0][0] > MINUTE) calls.shift();
  }

  async function updatePlace() {
    if (!place || stored.reservation) return;
    if (doc.seed && !place.number && crypto.subtle) place.number = await numberOf(place.index, doc.cohort, doc.seed);
    const isCalled = doc.seed && !(place.number > doc.called);
    if (place.state === "waiting" ? isCalled : place.state === "called" && now() >= place.claim_ends) await look(send);
  }

  async function look(ask = post) {
    try {
      place = await ask(data.hot + "look");
      if (place.state === "spent") location.reload();
    } catch (refused) {
      place = gone(refused);
    }
  }

  function gone(refused) {
    if (!/_token$/.test(refused.code)) throw refused;
  }

  function currentStep() {
    const { phase } = doc;
    if (ended) return ending(ended);
    if (stored.reservation) return "pay";
    const spent = own().state === "spent";
    if (stored.order && (!place || spent)) return ending("done");
    if (!bought && /called_off|closed/.test(phase)) return ending(phase);
    if (challenges) return "codes";
    if (!place && phase === "scheduled") return "soon";
    if (soldOut() && !spent && !bought) return ending("gone");
    if (!place) return "enter";
    if (place.state === "called") return phase === "paused" ? ending("paused") : "offer";
    return place.state === "waiting" ? "line" : ending(place.state);
  }

  function ending(word) {
    [byId("ending").textContent, byId("reason").textContent] = texts.over[word];
    byId("again").hidden = !/left|lapsed/.test(word) || !/lobby|open/.test(doc.phase);
    if (stored.order) byId("order").href = stored.order;
    byId("bought").hidden = place || !/gone|called_off|closed/.test(word);
    byId("order").hidden = !byId("order").href;
    byId("last-number").hidden = !own().number;
    return "over";
  }

  function render() {
    const before = step;
    step = currentStep();
    for (const part of queryAll("[data-step]")) part.hidden = part.dataset.step !== step;
    const lobby = doc.phase === "lobby" && !doc.seed;
    const timely = doc.closes_at === data.status.closes_at;
    const visible = { lobby, drawn: !lobby, behind: own().index > fixed(), early: now() < doc.opens_at, rolled: rolled(), timely };
    for (const part of queryAll("[data-when]")) part.hidden = !visible[part.dataset.when];
    byId("contacts").hidden = proven;
    byId("enter").hidden = !proven;
    byId("check").hidden = !doc.seed || !crypto.subtle;
    byId("phase").textContent = soldOut() ? texts.over.gone[0] : texts.phase[doc.phase];
    byId("message").textContent = doc.message.split("\n")[+(data.language < "id")] || doc.message || (doc.phase === "paused" ? texts.over.paused[1] : "");
    for (const input of queryAll("[name=sku]")) {
      input.disabled = doc.offers[input.value] === 0;
      if (input.disabled) input.checked = false;
    }
    renderNumbers();
    tick();
    if (step !== before) changeStep(before);
  }

  const fixed = () => (doc.draw && doc.draw.root ? doc.cohort : 1 / 0);

  function changeStep(before) {
    if (step === "offer") tell(texts.turn);
    if (before) document.querySelector(`[data-step=${step}] h2`).focus();
    if (step !== "pay") return;
    for (const name in contacts) {
      const field = byId("buyer-" + name);
      field.value = field.value || contacts[name];
    }
  }

  function renderNumbers() {
    const { number } = own();
    const ahead = number ? Math.max(0, number - doc.called - 1) : undefined;
    const [from, first] = calls[0];
    const left = !rolled() && wait(doc, ahead, (doc.called - first) / (doc.now - from));
    const values = {
      index: place && count(place.index),
      entered: count(Math.min(doc.entered, fixed())),
      free: count(doc.free),
      held: count(doc.held),
      number: number && count(number),
      called: count(doc.called),
      ahead: number && count(ahead),
      wait: left && duration(left),
      chance: rolled() ? "0 %" : chance(doc, ahead),
      amount: stored.reservation && money(stored.reservation.amount),
    };
    for (const part of queryAll("[data-n]")) part.textContent = values[part.dataset.n] || "–";
    document.title = (step === "offer" ? "(!) " : step === "line" && number ? `(${count(ahead)}) ` : "") + document.querySelector("h1").textContent;
    if (step === "line" && number) renderProgress(number, ahead);
  }

  function renderProgress(number, ahead) {
    byId("progress").value = doc.called / number;
    const size = 10 ** Math.min(3, Math.max(1, Math.floor(Math.log10(ahead))));
    const rounded = Math.ceil(ahead / size) * size;
    if (rounded !== announced) byId("announcement").textContent = texts.ahead.replace("{n}", count(rounded));
    announced = rounded;
  }

  function tick() {
    const ends = { soon: data.lobby_at, offer: own().claim_ends, pay: (stored.reservation || {}).deadline };
    const left = (ends[step] || doc.opens_at) - now();
    const late = left < MINUTE && /offer|pay/.test(step);
    for (const clock of queryAll("[data-clock]")) {
      clock.textContent = duration(left);
      if (late && !clock.classList.contains("late")) byId("announcement").textContent = texts.late;
      clock.classList.toggle("late", late);
    }
    if (step === "offer" && left <= 0) pollNow();
    if (step === "pay" && left <= 0) run(byId("release"), () => look().then(() => finish("expired")));
  }

  function finish(word) {
    store({ reservation: null });
    ended = word;
    render();
  }

  async function run(button, action) {
    if (busy) return;
    busy = button.disabled = true;
    tell("");
    try {
      await action();
    } catch (refused) {
      let { code, title } = refused;
      if (code === "unproven") {
        if (proven === "now") title = texts.cookies;
        proven = place = ended = null;
      }
      if (code === "wrong_code") byId("code-" + refused.detail).focus();
      if (texts.over[code] && !refused.again) finish(code);
      else tell(title || texts.error);
      if (!title) throw refused;
    } finally {
      busy = button.disabled = false;
      render();
    }
  }

  function on(id, action) {
    const part = byId(id);
    const form = part.tagName === "FORM";
    const values = {};
    part.addEventListener(form ? "submit" : "click", (event) => {
      event.preventDefault();
      if (form) new FormData(part).forEach((value, name) => (values[name] = value));
      run(form ? part.querySelector("button") : part, () => action(values));
    });
  }

  on("contacts", async (values) => {
    contacts = values;
    const work = data.work ? await solve(data, post, tell) : "";
    const answer = await post(data.here + "codes", Object.assign({ work }, contacts));
    challenges = answer.challenges;
    showSent(answer);
  });

  function showSent(answer) {
    for (const axis in answer.sent) byId("sent-" + axis).textContent = answer.sent[axis];
    if (answer.after) setTimeout(() => post(data.here + "sent", challenges).then(showSent), answer.after);
  }

  on("prove", async (codes) => {
    await post(data.here + "prove", Object.assign({}, challenges, codes));
    proven = "now";
    await enter();
    proven = true;
  });

  on("bought", async () => (bought = true));
  on("back", async () => (challenges = null));
  for (const id of ["enter", "again"]) on(id, enter);

  async function enter() {
    challenges = ended = bought = null;
    await post(data.hot + "enter");
    store({ commitment: doc.commitment });
    await look();
    if (!place) throw { title: texts.cookies };
    poll();
  }

  on("leave", async () => {
    if (!confirm(texts.leave)) return;
    await post(data.hot + "leave").catch(gone);
    if (rolled()) location.reload();
    place.state = "left";
  });

  on("extra-time", async () => {
    await post(data.hot + "wait");
    byId("extra-time").textContent = byId("announcement").textContent = texts.granted;
  });

  on("reserve", async ({ sku, quantity }) => {
    if (!stored.request) store({ request: { key: newKey(), items: [{ sku, quantity: Number(quantity || 1) }] } });
    await reserve();
  });

  async function reserve() {
    const { key, items } = stored.request;
    try {
      const { reservation: id, deadline, amount } = await post(data.hot + "reserve", { items }, { "Idempotency-Key": key });
      store({ request: null, order: null, reservation: { id, deadline, amount } });
    } catch (refused) {
      if (!refused.again) {
        store({ request: null });
        await look();
      }
      throw refused;
    }
  }

  on("pay", async (buyer) => {
    const { id, amount } = stored.reservation;
    const body = Object.assign({ reservation: id, amount: String(amount) }, buyer);
    const { order } = await post(data.here + "confirm", body);
    store({ reservation: null, order });
    location.assign(order);
  });

  on("release", async () => {
    if (!confirm(texts.back)) return;
    await post(data.here + "release", { reservation: stored.reservation.id });
    finish("released");
  });

  on("check", async () => {
    await new Promise((onload, fail) => {
      const onerror = () => fail({ title: texts.unsent });
      document.head.append(Object.assign(document.createElement("script"), { src: data.check, onload, onerror }));
    });
    await drawChecks.onWaitingPage(ask, data, doc, place, stored, count);
  });

  addEventListener("pageshow", pollNow);
  addEventListener("online", pollNow);
  document.addEventListener("visibilitychange", () => document.hidden || pollNow());
  setInterval(tick, 1000);
  calls.push([doc.now, doc.called]);
  store(data.made);
  if (stored.request) run(byId("reserve").querySelector("button"), reserve);
  render();
  if (!csrf()) tell(texts.cookies);
  byId("loading").remove();
})();
