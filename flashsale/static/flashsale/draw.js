/* As flashsale/rules/lottery.py. */
"use strict";

const draw = (() => {
  const ROUNDS = 10;
  const utf8 = (text) => new TextEncoder().encode(text);
  const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
  const hex = (raw) => Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const bigEndian = (value, size) => bytes(BigInt(value).toString(16).padStart(2 * size, "0"));

  async function sha256(...parts) {
    const joined = new Uint8Array(parts.flatMap((part) => [...part]));
    return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
  }

  async function roundKey(seed, round, right) {
    const hash = await sha256(seed, [round], bigEndian(right, 8));
    return BigInt("0x" + hex(hash.subarray(0, 8)));
  }

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
        [left, right] = [right, left ^ ((await roundKey(key, round, right)) & mask)];
      }
      x = (left << half) | right;
    } while (x > last);
    return Number(x) + 1;
  }

  const commitment = async (secret) => hex(await sha256(utf8("flashsale/commit/v1"), bytes(secret)));

  async function seed(secret, line, cohort, beacon) {
    const code = utf8(line);
    const parts = [bytes(secret), bigEndian(code.length, 2), code, bigEndian(cohort, 8), bytes(beacon)];
    return hex(await sha256(utf8("flashsale/seed/v1"), ...parts));
  }

  /** 0: not as `promised`. */
  async function check(transcript, line, index, promised) {
    if (!transcript.lines) throw transcript;
    const drawn = transcript.lines[line];
    const fits =
      drawn &&
      (await commitment(transcript.secret)) === promised &&
      (await seed(transcript.secret, line, drawn.cohort, "")) === drawn.seed;
    return fits ? number(index, drawn.cohort, drawn.seed) : 0;
  }

  return { number, commitment, seed, check };
})();
