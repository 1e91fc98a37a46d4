/* The waiting page: what the document that is polled means for this place. */
"use strict";

(() => {
  const at = (id) => document.getElementById(id);
  const all = (selector) => document.querySelectorAll(selector);
  const sheet = JSON.parse(at("sheet").textContent);
  const say = sheet.words;
  const { kept, keep, within, post, count, money, span, wait, chance } = page(sheet);
  const MINUTE = 60000;

  let doc = sheet.status, since = performance.now();
  let { place, proven, ended } = sheet;
  let typed = {}, challenges, bought, step, near, timer, polling, busy, fails = 0;
  const paces = []; // of the last minute

  const jitter = (ms) => ms * (0.8 + 0.4 * Math.random());
  const now = () => doc.now + (doc.phase === "paused" ? 0 : performance.now() - since);
  const gone = () => doc.phase === "open" && doc.sold > 0 && doc.free + doc.held + doc.coming === 0;
  const rolled = () => doc.phase === "open" && doc.rolls_over_at && now() >= doc.rolls_over_at;

  async function poll() {
    if (polling) return;
    polling = true;
    clearTimeout(timer);
    let pause = 0;
    try {
      const answer = await fetch(sheet.hot + "status", { signal: within(10000) });
      pause = 1000 * answer.headers.get("Retry-After") || 0;
      take(await answer.json());
      if (fails > 1) tell("");
      fails = 0;
      await follow();
    } catch {
      if (++fails === 2) tell(say.lost);
    }
    render();
    polling = false;
    const calm = fails ? Math.min(MINUTE, 1000 * 2 ** fails) : doc.poll_ms * (document.hidden ? 3 : 1);
    timer = setTimeout(poll, jitter(Math.max(calm, pause, 500)));
  }

  function take(fresh) {
    if (!fresh.phase) throw fresh;
    // One from the browser's cache has an old clock.
    if (fresh.now > doc.now) since = performance.now();
    else fresh.now = doc.now;
    doc = fresh;
    paces.push([doc.now, doc.called]);
    while (doc.now - paces[0][0] > MINUTE) paces.shift();
  }

  /** Asks for our state when it may have changed. */
  async function follow() {
    if (!place || kept.reservation) return;
    if (doc.seed && !place.number && crypto.subtle) place.number = await draw.number(place.index, doc.cohort, doc.seed);
    const called = doc.seed && !(place.number > doc.called);
    if (place.state === "waiting" ? called : place.state === "called" && now() >= place.claim_ends) await look();
  }

  async function look() {
    try {
      place = await post(sheet.hot + "look");
      if (place.state === "spent") location.reload(); // the page knows for what
    } catch (refused) {
      if (!/_token$/.test(refused.code)) throw refused;
      place = null;
    }
  }

  function current() {
    const { phase } = doc;
    if (ended) return over(ended);
    if (kept.reservation) return "pay";
    const spent = place?.state === "spent";
    if (kept.order && (!place || spent)) return over("done");
    if (!bought && /called_off|closed/.test(phase)) return over(phase);
    if (challenges) return "codes";
    if (!place && phase === "scheduled") return "soon";
    if (gone() && !spent && !bought) return over("gone");
    if (!place) return "enter";
    if (place.state === "called") return phase === "paused" ? over("paused") : "offer";
    return place.state === "waiting" ? "line" : over(place.state);
  }

  function over(word) {
    [at("end").textContent, at("why").textContent] = say.over[word];
    at("again").hidden = !/left|lapsed/.test(word) || !/lobby|open/.test(doc.phase);
    if (kept.order) at("order").href = kept.order;
    at("bought").hidden = place || !/gone|called_off|closed/.test(word);
    at("order").hidden = !at("order").href;
    at("stood").hidden = !place?.number;
    return "over";
  }

  function render() {
    const before = step;
    step = current();
    for (const part of all("[data-step]")) part.hidden = part.dataset.step !== step;
    const lobby = doc.phase === "lobby";
    const timely = doc.closes_at === sheet.status.closes_at;
    const shown = { lobby, drawn: !lobby, early: now() < doc.opens_at, rolled: rolled(), timely };
    for (const part of all("[data-when]")) part.hidden = !shown[part.dataset.when];
    at("ask").hidden = proven;
    at("enter").hidden = !proven;
    at("check").hidden = !doc.seed || !crypto.subtle;
    at("phase").textContent = gone() ? say.over.gone[0] : say.phase[doc.phase];
    at("message").textContent = doc.message || (doc.phase === "paused" ? say.over.paused[1] : "");
    for (const input of all("[name=sku]")) {
      input.disabled = doc.offers[input.value] === 0;
      if (input.disabled) input.checked = false;
    }
    numbers();
    tick();
    if (step !== before) turn(before);
  }

  function turn(before) {
    if (step === "offer") tell(say.turn);
    if (before) document.querySelector(`[data-step=${step}] h2`).focus();
    if (step === "pay") for (const name in typed) at("buyer-" + name).value ||= typed[name];
  }

  function numbers() {
    const number = place?.number;
    const ahead = number ? Math.max(0, number - doc.called - 1) : undefined;
    const [from, first] = paces[0];
    const rest = !rolled() && wait(doc, ahead, (doc.called - first) / (doc.now - from));
    const shown = {
      index: place && count(place.index),
      entered: count(doc.entered),
      free: count(doc.free),
      held: count(doc.held),
      number: number && count(number),
      called: count(doc.called),
      ahead: number && count(ahead),
      wait: rest && span(rest),
      chance: rolled() ? "0 %" : chance(doc, ahead),
      amount: kept.reservation && money(kept.reservation.amount),
    };
    for (const part of all("[data-n]")) part.textContent = shown[part.dataset.n] || "–";
    document.title = (step === "offer" ? "(!) " : step === "line" && number ? `(${count(ahead)}) ` : "") + document.querySelector("h1").textContent;
    if (step === "line" && number) progress(number, ahead);
  }

  function progress(number, ahead) {
    at("way").value = doc.called / number;
    const size = 10 ** Math.min(3, Math.max(1, Math.floor(Math.log10(ahead))));
    const mark = Math.ceil(ahead / size) * size;
    if (mark !== near) at("said").textContent = say.ahead.replace("{n}", count(mark));
    near = mark;
  }

  function tick() {
    const ends = { soon: sheet.lobby_at, offer: place?.claim_ends, pay: kept.reservation?.deadline };
    const rest = (ends[step] || doc.opens_at) - now();
    const late = rest < MINUTE && /offer|pay/.test(step);
    for (const clock of all("[data-clock]")) {
      clock.textContent = span(rest);
      if (late && !clock.classList.contains("late")) at("said").textContent = say.late;
      clock.classList.toggle("late", late);
    }
    // It may have been paid on another device.
    if (step === "pay" && rest <= 0) act(at("release"), () => look().then(() => finish("expired")));
  }

  function tell(text) {
    at("alert").textContent = text;
    at("alert").classList.toggle("now", text === say.turn);
  }

  function finish(word) {
    keep({ reservation: null });
    ended = word;
    render();
  }

  /** One action at a time; a refusal is told, or ends the visit. */
  async function act(button, work) {
    if (busy) return;
    busy = button.disabled = true;
    tell("");
    try {
      await work();
    } catch (refused) {
      if (!refused.title) throw refused;
      if (refused.code === "unproven") proven = place = ended = null;
      if (refused.code === "wrong_code") at("code-" + refused.detail).focus();
      if (say.over[refused.code] && !refused.again) finish(refused.code);
      else tell(refused.title);
    } finally {
      busy = button.disabled = false;
      render();
    }
  }

  function on(id, work) {
    const part = at(id);
    const form = part.tagName === "FORM";
    part.addEventListener(form ? "submit" : "click", (event) => {
      event.preventDefault();
      const values = form && Object.fromEntries(new FormData(part));
      act(form ? part.querySelector("button") : part, () => work(values));
    });
  }

  on("ask", async (contacts) => {
    typed = contacts;
    ({ challenges } = await post(sheet.here + "codes", contacts));
  });

  on("prove", async (codes) => {
    const body = { ...challenges };
    for (const axis of sheet.axes) body[axis + "_code"] = codes[axis];
    await post(sheet.here + "prove", body);
    proven = true;
    await enter();
  });

  on("bought", async () => (bought = true));
  on("back", async () => (challenges = null));
  for (const id of ["enter", "again"]) on(id, enter);

  async function enter() {
    challenges = ended = bought = null;
    await post(sheet.hot + "enter");
    keep({ promised: doc.commitment });
    await look();
    poll();
  }

  on("leave", async () => {
    if (!confirm(say.leave)) return;
    await post(sheet.hot + "leave");
    if (rolled()) location.reload();
    place.state = "left";
  });

  on("more", async () => {
    await post(sheet.hot + "wait");
    at("more").textContent = at("said").textContent = say.granted;
  });

  on("reserve", async ({ sku, quantity }) => {
    // Kept until it is answered: sent again, it has one effect.
    const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
    if (!kept.ask) keep({ ask: { key, items: [{ sku, quantity: Number(quantity || 1) }] } });
    await reserve();
  });

  async function reserve() {
    for (let tries = 0; kept.ask; tries++) {
      const { key, items } = kept.ask;
      try {
        const { reservation: id, deadline, amount } = await post(sheet.hot + "reserve", { items }, { "Idempotency-Key": key });
        keep({ ask: null, order: null, reservation: { id, deadline, amount } });
      } catch (refused) {
        if (!refused.again) {
          keep({ ask: null });
          await look();
          throw refused;
        }
        tell(refused.code ? say.wait : say.lost);
        await new Promise((done) => setTimeout(done, jitter(1000 * (refused.retry_after_s || Math.min(30, 2 ** tries)))));
      }
    }
    tell("");
  }

  on("pay", async (buyer) => {
    const { id, amount } = kept.reservation;
    const { order } = await post(sheet.here + "confirm", { ...buyer, reservation: id, amount: String(amount) });
    keep({ reservation: null, order });
    location.assign(order);
  });

  on("release", async () => {
    if (!confirm(say.back)) return;
    await post(sheet.here + "release", { reservation: kept.reservation.id });
    finish("released");
  });

  on("check", async () => {
    const transcript = await (await fetch(sheet.transcript)).json();
    const { index, number } = place || { index: 1 };
    const found = await draw.check(transcript, sheet.line, index, kept.promised || doc.commitment);
    const fits = found && (!number || found === number);
    at("checked").className = fits ? "good" : "bad";
    at("checked").textContent = (fits ? (place ? say.true : say.fits) : say.false).replace("{n}", count(found));
  });

  addEventListener("pageshow", poll);
  addEventListener("online", poll);
  document.addEventListener("visibilitychange", () => document.hidden || poll());
  setInterval(tick, 1000);
  paces.push([doc.now, doc.called]);
  keep(sheet.made);
  if (kept.ask) act(at("reserve").querySelector("button"), reserve);
  render();
})();
