/* The proof page: one button that makes every check of check.js, and says what each result means. */
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("proof-data").textContent);
  const { texts, sale, language } = data;
  const { parse, ofTranscript, ofLeaves, ofReceipt, ofLink, seenBy } = drawChecks;
  const MARKS = { true: "✓", false: "✗", null: "–" };

  const stored = {};
  try {
    Object.assign(stored, JSON.parse(localStorage.getItem("fs:" + sale)));
  } catch (_) {}

  /** The answer of an address, by default as text; null for 404. Does not use the cache, because the draw changes all answers. */
  async function read(url, as = "text") {
    const answer = await fetch(url, { headers: { Accept: "application/json, */*" }, cache: "no-cache" });
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(url);
    return answer[as]();
  }

  /** The same answer as an object. Throws Error for a text that two programs may read differently. */
  async function readJson(url) {
    const text = await read(url);
    try {
      return text === null ? null : parse(text);
    } catch (_) {
      throw new Error(url);
    }
  }

  /** The transcript, {} for a text that cannot be read, null before the draw. */
  async function readTranscript() {
    const text = await read(data.transcript);
    try {
      return text === null ? null : parse(text);
    } catch (_) {
      return {};
    }
  }

  const readTile = (line, tile) =>
    read(data.lines + encodeURIComponent(line) + "/entries/" + tile, "arrayBuffer").then((buffer) => buffer && new Uint8Array(buffer));

  /** The receipt that was pasted, that the link has, or of this browser. null: there is none. Throws for another text. */
  async function receipt() {
    const pasted = byId("receipt").value.trim();
    const link = pasted ? /#/.test(pasted) && pasted[0] !== "{" && pasted.split("#")[1] : location.hash.slice(1);
    const found = link === false ? parse(pasted) : ofLink(sale, link) || (pasted ? {} : await readJson(data.receipt));
    if (found === null) return null;
    // Partners get it as it is, or inside of an answer of theirs.
    if (!found.receipt || !(Number.isSafeInteger(found.receipt.index) && found.receipt.index > 0)) throw new SyntaxError();
    return found;
  }

  async function allChecks() {
    const [signed, published, keys] = [await receipt(), await readJson(data.draw), await readJson(data.keys)];
    const { version, commitment, beacon, lines, frozen_at, freezes_at, drawn } = published;
    let transcript = await readTranscript();
    const checks = [];
    if (transcript) {
      const known = {
        sale,
        commitment: stored.commitment || commitment,
        version,
        beacon: beacon ? beacon.chain : "",
        round: stored.round || (beacon && beacon.round),
        // A proxy may have kept an answer from before the draw for a few seconds.
        frozen_at: drawn && frozen_at,
        lines: drawn && version === 2 ? lines : null,
        seen: seenBy(stored),
        chain: data.chain,
      };
      checks.push(...(await ofTranscript(transcript, known)));
      if (checks[0].name === "file") transcript = null;
      else if (transcript.version === 2) checks.push(await ofLeaves(transcript, readTile));
    } else checks.push({ name: "undrawn", holds: null, values: {} });
    if (!signed) return checks.concat({ name: "no-receipt", holds: null, values: {} });
    const known = {
      sale,
      version,
      keys: keys.keys,
      lines: transcript ? transcript.lines : Object.keys(lines).length ? lines : null,
      // Redis fixes who takes part at the planned time, however late the entries are committed.
      freezesAt: Date.parse(freezes_at),
      carried: data.carried,
      drawn: Boolean(transcript),
    };
    return checks.concat(await ofReceipt(signed, known));
  }

  const filled = (text, values) =>
    text.replace(/{(\w+)}/g, (_, name) => (typeof values[name] === "number" ? values[name].toLocaleString(language) : values[name]));

  function element(tag, text, className) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function row({ name, holds, values }) {
    const [title, ...meanings] = texts.checks[name];
    const item = document.createElement("li");
    const mark = element("span", MARKS[holds], "mark");
    mark.setAttribute("aria-hidden", "true");
    const said = element("b", title);
    said.append(element("span", ": " + texts.words[holds], "visually-hidden"));
    item.append(mark, " ", said, element("p", filled(meanings[{ true: 0, false: 1, null: 2 }[holds]] || "", values)));
    item.className = { true: "good", false: "bad", null: "open" }[holds];
    return item;
  }

  function say(word) {
    const verdict = byId("verdict");
    verdict.textContent = texts.verdicts[word];
    verdict.className = { true: "good", false: "bad" }[word] || "";
  }

  async function run() {
    const list = byId("checks");
    list.textContent = "";
    say("busy");
    let checks;
    try {
      checks = await allChecks();
    } catch (error) {
      say(error instanceof SyntaxError ? "unusable" : "unreachable");
      return;
    }
    list.append(...checks.map(row));
    say(String(checks.every(({ holds }) => holds !== false)));
  }

  byId("start").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = byId("run");
    if (button.disabled) return;
    button.disabled = true;
    await run();
    button.disabled = false;
    byId("verdict").focus();
  });
  // The receipt of the link stays when the language changes.
  for (const form of document.querySelectorAll(".languages")) form.action += location.hash;
  byId("start").hidden = !crypto.subtle;
  byId("unable").hidden = Boolean(crypto.subtle);
  byId("linked").hidden = !ofLink(sale, location.hash.slice(1));
})();
