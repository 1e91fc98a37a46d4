/* Numbers as people read them, and estimates. */
"use strict";

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

  return { count, money, duration, wait, chance };
};
