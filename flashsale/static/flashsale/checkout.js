/* Sends the buyer on to the shop. Who comes back with the browser's button stays here. */
"use strict";

(() => {
  const [visit] = performance.getEntriesByType("navigation");
  if (!visit || visit.type !== "back_forward") document.getElementById("checkout").submit();
})();
