/* The waiting page: polls the status, shows what it means for this place. */
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const queryAll = (selector) => document.querySelectorAll(selector);
  const data = JSON.parse(byId("script-data").textContent);
  const { texts } = data;
  const { stored, store, timeout, post, count, money, duration, wait, chance } = page(data);
  const MINUTE = 60000;

  let doc = data.status, receivedAt = performance.now();
  let { place, proven, ended } = data;
  let contacts = {}, challenges, bought, step, announced, timer, polling, busy, failures = 0;
  const calls = []; // during the last minute

  const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
  const jitter = (ms) => ms * (0.8 + 0.4 * Math.random());
  const now = () => doc.now + (doc.phase === "paused" ? 0 : performance.now() - receivedAt);
  const soldOut = () => doc.phase === "open" && doc.sold > 0 && doc.free + doc.held + doc.coming === 0;
  const rolled = () => doc.phase === "open" && doc.rolls_over_at && now() >= doc.rolls_over_at;

  async function poll() {
    if (polling) return;
    polling = true;
    clearTimeout(timer);
    let wait = 0;
    try {
      const response = await fetch(data.hot + "status", { signal: timeout(10000) });
      wait = 1000 * response.headers.get("Retry-After") || 0;
      update(await response.json());
      if (failures > 1) tell("");
      failures = 0;
      await updatePlace();
    } catch {
      if (++failures === 2) tell(texts.lost);
    }
    render();
    polling = false;
    const pause = failures ? Math.min(MINUTE, 1000 * 2 ** failures) : doc.poll_ms * (document.hidden ? 3 : 1);
    timer = setTimeout(poll, jitter(Math.max(pause, wait, 500)));
  }

  function update(fresh) {
    if (!fresh.phase) throw fresh;
    // A cached document has an old time.
    if (fresh.now > doc.now) receivedAt = performance.now();
    else fresh.now = doc.now;
    doc = fresh;
    calls.push([doc.now, doc.called]);
    while (doc.now - calls[0][0] > MINUTE) calls.shift();
  }

  /** Looks if the place may have changed. */
  async function updatePlace() {
    if (!place || stored.reservation) return;
    if (doc.seed && !place.number && crypto.subtle) place.number = await draw.number(place.index, doc.cohort, doc.seed);
    const isCalled = doc.seed && !(place.number > doc.called);
    if (place.state === "waiting" ? isCalled : place.state === "called" && now() >= place.claim_ends) await look();
  }

  async function look() {
    try {
      place = await post(data.hot + "look");
      if (place.state === "spent") location.reload();
    } catch (refused) {
      if (!/_token$/.test(refused.code)) throw refused;
      place = null;
    }
  }

  function currentStep() {
    const { phase } = doc;
    if (ended) return ending(ended);
    if (stored.reservation) return "pay";
    const spent = place?.state === "spent";
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
    byId("last-number").hidden = !place?.number;
    return "over";
  }

  function render() {
    const before = step;
    step = currentStep();
    for (const part of queryAll("[data-step]")) part.hidden = part.dataset.step !== step;
    const lobby = doc.phase === "lobby";
    const timely = doc.closes_at === data.status.closes_at;
    const visible = { lobby, drawn: !lobby, early: now() < doc.opens_at, rolled: rolled(), timely };
    for (const part of queryAll("[data-when]")) part.hidden = !visible[part.dataset.when];
    byId("contacts").hidden = proven;
    byId("enter").hidden = !proven;
    byId("check").hidden = !doc.seed || !crypto.subtle;
    byId("phase").textContent = soldOut() ? texts.over.gone[0] : texts.phase[doc.phase];
    byId("message").textContent = doc.message || (doc.phase === "paused" ? texts.over.paused[1] : "");
    for (const input of queryAll("[name=sku]")) {
      input.disabled = doc.offers[input.value] === 0;
      if (input.disabled) input.checked = false;
    }
    renderNumbers();
    tick();
    if (step !== before) changeStep(before);
  }

  function changeStep(before) {
    if (step === "offer") tell(texts.turn);
    if (before) document.querySelector(`[data-step=${step}] h2`).focus();
    if (step === "pay") for (const name in contacts) byId("buyer-" + name).value ||= contacts[name];
  }

  function renderNumbers() {
    const number = place?.number;
    const ahead = number ? Math.max(0, number - doc.called - 1) : undefined;
    const [from, first] = calls[0];
    const left = !rolled() && wait(doc, ahead, (doc.called - first) / (doc.now - from));
    const values = {
      index: place && count(place.index),
      entered: count(doc.entered),
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
    const ends = { soon: data.lobby_at, offer: place?.claim_ends, pay: stored.reservation?.deadline };
    const left = (ends[step] || doc.opens_at) - now();
    const late = left < MINUTE && /offer|pay/.test(step);
    for (const clock of queryAll("[data-clock]")) {
      clock.textContent = duration(left);
      if (late && !clock.classList.contains("late")) byId("announcement").textContent = texts.late;
      clock.classList.toggle("late", late);
    }
    // It may be paid on another device.
    if (step === "pay" && left <= 0) run(byId("release"), () => look().then(() => finish("expired")));
  }

  function tell(text) {
    byId("alert").textContent = text;
    byId("alert").classList.toggle("now", text === texts.turn);
  }

  function finish(word) {
    store({ reservation: null });
    ended = word;
    render();
  }

  /** One action at a time; a refusal shows an alert or ends the visit. */
  async function run(button, action) {
    if (busy) return;
    busy = button.disabled = true;
    tell("");
    try {
      await action();
    } catch (refused) {
      if (!refused.title) throw refused;
      if (refused.code === "unproven") proven = place = ended = null;
      if (refused.code === "wrong_code") byId("code-" + refused.detail).focus();
      if (texts.over[refused.code] && !refused.again) finish(refused.code);
      else tell(refused.title);
    } finally {
      busy = button.disabled = false;
      render();
    }
  }

  function on(id, action) {
    const part = byId(id);
    const form = part.tagName === "FORM";
    part.addEventListener(form ? "submit" : "click", (event) => {
      event.preventDefault();
      const values = form && Object.fromEntries(new FormData(part));
      run(form ? part.querySelector("button") : part, () => action(values));
    });
  }

  on("contacts", async (values) => {
    contacts = values;
    ({ challenges } = await post(data.here + "codes", contacts));
  });

  on("prove", async (codes) => {
    const body = { ...challenges };
    for (const axis of data.axes) body[axis + "_code"] = codes[axis];
    await post(data.here + "prove", body);
    proven = true;
    await enter();
  });

  on("bought", async () => (bought = true));
  on("back", async () => (challenges = null));
  for (const id of ["enter", "again"]) on(id, enter);

  async function enter() {
    challenges = ended = bought = null;
    await post(data.hot + "enter");
    store({ commitment: doc.commitment });
    await look();
    poll();
  }

  on("leave", async () => {
    if (!confirm(texts.leave)) return;
    await post(data.hot + "leave");
    if (rolled()) location.reload();
    place.state = "left";
  });

  on("extra-time", async () => {
    await post(data.hot + "wait");
    byId("extra-time").textContent = byId("announcement").textContent = texts.granted;
  });

  on("reserve", async ({ sku, quantity }) => {
    // Stored until it is answered; its key gives it one effect.
    if (!stored.request) store({ request: { key: newKey(), items: [{ sku, quantity: Number(quantity || 1) }] } });
    await reserve();
  });

  async function reserve() {
    for (let tries = 0; stored.request; tries++) {
      const { key, items } = stored.request;
      try {
        const { reservation: id, deadline, amount } = await post(data.hot + "reserve", { items }, { "Idempotency-Key": key });
        store({ request: null, order: null, reservation: { id, deadline, amount } });
      } catch (refused) {
        if (!refused.again) {
          store({ request: null });
          await look();
          throw refused;
        }
        tell(refused.code ? texts.wait : texts.lost);
        await new Promise((resolve) => setTimeout(resolve, jitter(1000 * (refused.retry_after_s || Math.min(30, 2 ** tries)))));
      }
    }
    tell("");
  }

  on("pay", async (buyer) => {
    const { id, amount } = stored.reservation;
    // Each press has a key, so a payment that was declined is charged again only by another press.
    const headers = { "Idempotency-Key": newKey() };
    const body = { ...buyer, reservation: id, amount: String(amount) };
    let answer;
    // The payment has its turn later: the same request asks again.
    while ((answer = await post(data.here + "confirm", body, headers)).again_s) {
      tell(texts.wait);
      await new Promise((resolve) => setTimeout(resolve, 1000 * answer.again_s));
    }
    store({ reservation: null, order: answer.order });
    location.assign(answer.order);
  });

  on("release", async () => {
    if (!confirm(texts.back)) return;
    await post(data.here + "release", { reservation: stored.reservation.id });
    finish("released");
  });

  on("check", async () => {
    const transcript = await (await fetch(data.transcript)).json();
    const { index, number } = place || { index: 1 };
    const found = await draw.check(transcript, data.line, index, stored.commitment || doc.commitment);
    const fits = found && (!number || found === number);
    byId("checked").className = fits ? "good" : "bad";
    byId("checked").textContent = (fits ? (place ? texts.true : texts.fits) : texts.false).replace("{n}", count(found));
  });

  addEventListener("pageshow", poll);
  addEventListener("online", poll);
  document.addEventListener("visibilitychange", () => document.hidden || poll());
  setInterval(tick, 1000);
  calls.push([doc.now, doc.called]);
  store(data.made);
  if (stored.request) run(byId("reserve").querySelector("button"), reserve);
  render();
})();
