/* The draw, as in flashsale/rules/lottery.py, on the browser's own SHA-256. */
"use strict";

const draw = (() => {
  const ROUNDS = 10;
  const text = (words) => new TextEncoder().encode(words);
  const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
  const hex = (raw) => Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const big = (value, size) => bytes(BigInt(value).toString(16).padStart(2 * size, "0"));

  async function sha256(...parts) {
    const joined = new Uint8Array(parts.flatMap((part) => [...part]));
    return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
  }

  async function mixed(seed, round, right) {
    const hash = await sha256(seed, [round], big(right, 8));
    return BigInt("0x" + hex(hash.subarray(0, 8)));
  }

  /** The number of an index; `seed` is hex. */
  async function number(index, cohort, seed) {
    if (index > cohort) return index;
    const key = bytes(seed);
    const last = BigInt(cohort) - 1n;
    const half = BigInt(Math.ceil(last.toString(2).length / 2));
    const mask = (1n << half) - 1n;
    let x = BigInt(index) - 1n;
    do {
      let [left, right] = [x >> half, x & mask];
      for (let round = 0; round < ROUNDS; round++) {
        [left, right] = [right, left ^ ((await mixed(key, round, right)) & mask)];
      }
      x = (left << half) | right;
    } while (x > last);
    return Number(x) + 1;
  }

  const commitment = async (secret) => hex(await sha256(text("flashsale/commit/v1"), bytes(secret)));

  async function seed(secret, line, cohort, beacon) {
    const code = text(line);
    const parts = [bytes(secret), big(code.length, 2), code, big(cohort, 8), bytes(beacon)];
    return hex(await sha256(text("flashsale/seed/v1"), ...parts));
  }

  /** The number by a transcript, 0 where it does not fit what was `promised`. */
  async function check(transcript, line, index, promised) {
    if (!transcript.lines) throw transcript;
    const own = transcript.lines[line];
    const fits =
      own &&
      (await commitment(transcript.secret)) === promised &&
      (await seed(transcript.secret, line, own.cohort, "")) === own.seed;
    return fits ? number(index, own.cohort, own.seed) : 0;
  }

  return { number, commitment, seed, check };
})();
