/* The draw of flashsale/rules/lottery.py, in the browser. */
"use strict";

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

  async function seed(secret, line, cohort, beacon) {
    const code = utf8(line);
    const parts = [bytes(secret), bigEndian(code.length, 2), code, bigEndian(cohort, 8), bytes(beacon)];
    return hex(await sha256(utf8("flashsale/seed/v1"), ...parts));
  }

  async function check(transcript, line, index, promised) {
    const drawn = transcript.lines[line];
    const fits =
      drawn &&
      (await commitment(transcript.secret)) === promised &&
      (await seed(transcript.secret, line, drawn.cohort, "")) === drawn.seed;
    return fits ? number(index, drawn.cohort, drawn.seed) : 0;
  }

  return { number, commitment, seed, check };
})();
