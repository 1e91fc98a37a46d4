/* Proof of work before a code, as ALTCHA version 1: finds the number whose hash with the salt is the challenge. */
"use strict";

/* Loaded only where the campaign asks for it. Gets a puzzle and returns the member "work" of a request for codes. */
const solve = async ({ here, work: texts }, post, tell) => {
  if (!window.crypto || !crypto.subtle) throw { title: texts.none };
  tell(texts.wait);
  const { algorithm, challenge, maxnumber, salt, signature } = await post(here + "puzzle");
  const encoder = new TextEncoder();
  const hex = (hash) => Array.from(new Uint8Array(hash), (byte) => ("0" + byte.toString(16)).slice(-2)).join("");
  // Many hashes at once, because a browser computes them in threads of its own.
  const SIZE = 256;
  for (let start = 0; start <= maxnumber; start += SIZE) {
    const hashes = [];
    for (let n = start; n < start + SIZE; n++) hashes.push(crypto.subtle.digest(algorithm, encoder.encode(salt + n)));
    const found = (await Promise.all(hashes)).map(hex).indexOf(challenge);
    if (found < 0) continue;
    tell("");
    return btoa(JSON.stringify({ algorithm, challenge, number: start + found, salt, signature }));
  }
  throw { title: texts.none };
};
