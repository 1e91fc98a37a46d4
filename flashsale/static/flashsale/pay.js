/* The order page while a payment is under way: copies numbers, counts down, and reloads when the order has changed. */
"use strict";

(() => {
  const follow = document.getElementById("follow");
  const { url, mark } = follow.dataset;
  const ends = performance.now() + Number(follow.dataset.left);
  const SOON = 3000, LATER = 15000;
  let timer, asking, wait = SOON;

  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      navigator.clipboard.writeText(button.dataset.copy).then(() => {
        button.textContent = document.getElementById("copied").textContent = button.dataset.done;
      }, () => (button.hidden = true));
    });
  }

  async function ask() {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    const answer = await fetch(url).catch(() => null);
    const found = answer && answer.ok && (await answer.json().catch(() => null));
    asking = false;
    if (found && found.mark !== mark) return location.reload();
    wait = Math.min(LATER, wait * 1.2);
    timer = setTimeout(ask, wait * (0.8 + 0.4 * Math.random()));
  }

  // The buyer comes back from the app of their bank.
  function back() {
    if (document.hidden) return;
    wait = SOON;
    ask();
  }

  function tick() {
    const left = Math.max(0, Math.round((ends - performance.now()) / 1000));
    const two = (value) => String(value).padStart(2, "0");
    for (const clock of document.querySelectorAll("[data-clock]")) {
      clock.textContent = `${two(Math.floor(left / 60))}:${two(left % 60)}`;
      clock.classList.toggle("late", left < 60);
    }
  }

  addEventListener("pageshow", back);
  addEventListener("online", back);
  document.addEventListener("visibilitychange", back);
  setInterval(tick, 1000);
  tick();
})();
