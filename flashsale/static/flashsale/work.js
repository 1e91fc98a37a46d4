/* Proof of work before a code, as ALTCHA version 1: finds the number whose hash with the salt is the challenge. */
"use strict";

/* Loaded after page.js only where the campaign asks for it. Its `post` solves a puzzle before it asks for codes. */
page = ((plain) => (data) => {
  const tools = plain(data);
  const { post } = tools;
  const { here, work: texts } = data;
  const tell = (text) => (document.getElementById("alert").textContent = text);
  const encoder = new TextEncoder();
  const hex = (hash) => Array.from(new Uint8Array(hash), (byte) => ("0" + byte.toString(16)).slice(-2)).join("");

  async function solve({ algorithm, challenge, maxnumber, salt, signature }) {
    // Many hashes at once, because a browser computes them in threads of its own.
    const SIZE = 256;
    for (let start = 0; start <= maxnumber; start += SIZE) {
      const hashes = [];
      for (let n = start; n < start + SIZE; n++) hashes.push(crypto.subtle.digest(algorithm, encoder.encode(salt + n)));
      const found = (await Promise.all(hashes)).map(hex).indexOf(challenge);
      if (found >= 0) return btoa(JSON.stringify({ algorithm, challenge, number: start + found, salt, signature }));
    }
    throw { title: texts.none };
  }

  tools.post = async (url, body, extra) => {
    if (url !== here + "codes") return post(url, body, extra);
    if (!window.crypto || !crypto.subtle) throw { title: texts.none };
    tell(texts.wait);
    const answer = await post(url, Object.assign({ work: await solve(await post(here + "puzzle")) }, body), extra);
    tell("");
    return answer;
  };
  return tools;
})(page);
