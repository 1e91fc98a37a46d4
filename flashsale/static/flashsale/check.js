/* The checks of a draw and of a receipt, as flashsale/rules/lottery.py and receipts.py make them. The draw itself is in
 * line.js. Loaded by the proof page, and by the waiting page at a click.
 *
 * A check is { name, holds, values }. holds: true, false, or null (this browser cannot tell). */
"use strict";

self.drawChecks = (() => {
  const { number, commitment, seed, sha256, bytes, hex } = draw;
  // As lottery.py: the chain of drand, and how long the root is public before the round exists.
  const QUICKNET = {
    hash: "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
    genesis_s: 1692803367,
    period_s: 3,
  };
  const DELAY_S = 30;
  // The clocks of two servers may differ by a second.
  const CLOCKS_MS = 1000;
  const HASH = /^[0-9a-f]{64}$/;

  const check = (name, holds, values) => ({ name, holds, values: values || {} });

  /** Whether a check holds. A file that lacks a member is not true either. */
  async function holds(test) {
    try {
      return Boolean(await test());
    } catch (_) {
      return false;
    }
  }

  /** The lines of a transcript for which the test fails. */
  async function failing(transcript, test) {
    const found = [];
    for (const code of Object.keys(transcript.lines || {})) {
      if (!(await holds(() => test(transcript.lines[code], code)))) found.push(code);
    }
    return found;
  }

  /** The root that the waiting page kept in local storage before the numbers, by line. */
  const seenBy = ({ root, line }) => (root ? { [line]: root } : {});

  function roundAfter(freezeS, { genesis_s, period_s }) {
    return Math.max(1, Math.ceil((freezeS + DELAY_S - genesis_s) / period_s) + 1);
  }

  /** The root to which a leaf and its proof lead, "" for a proof that is none: RFC 9162, section 2.1.3.2. */
  async function rootOf({ leaf, index, cohort, proof }) {
    if (!(1 <= index && index <= cohort) || ![leaf].concat(proof).every((node) => HASH.test(node))) return "";
    const rest = proof.slice();
    let root = bytes(leaf);
    let at = index - 1;
    for (let last = cohort - 1; last > 0; last = Math.floor(last / 2), at = Math.floor(at / 2)) {
      if (at % 2 === 0 && at === last) continue;
      if (!rest.length) return "";
      const node = bytes(rest.shift());
      root = at % 2 ? await sha256([1], node, root) : await sha256([1], root, node);
    }
    return rest.length ? "" : hex(root);
  }

  /** Checks every statement of a transcript.
   *
   * known: what was public before. commitment; version; beacon (hash of the declared chain, "" for none); roots (by
   * line, as the server says now); seen (roots by line that this browser saw before the numbers); round; chain (another
   * one than quicknet, for tests). */
  async function ofTranscript(transcript, known) {
    const found = [];
    const add = (name, result, values) => found.push(check(name, result, values));
    const { version, beacon } = transcript;
    add("secret", await holds(async () => (await commitment(transcript.secret)) === known.commitment));
    add("kind", version === known.version && (version === 1 ? beacon === "" : ((beacon || {}).chain || "") === known.beacon));
    if (version === 2) {
      found.push(...(await ofEntries(transcript, known)));
      if (beacon) found.push(...(await ofBeacon(transcript, known)));
    }
    const random = version === 2 && beacon ? beacon.randomness : "";
    const odd = await failing(transcript, async (line, code) => {
      const root = version === 2 ? line.root : "";
      return (version === 1 || HASH.test(root)) && (await seed(transcript.secret, code, line.cohort, random, root)) === line.seed;
    });
    add("seeds", !odd.length, { lines: odd.join(", "), count: Object.keys(transcript.lines || {}).length });
    return found;
  }

  async function ofEntries(transcript, { roots, seen }) {
    let total = 0, gone = 0, never = 0;
    const odd = await failing(transcript, ({ cohort, root, states }, code) => {
      const counts = [0, 1, 2].map((state) => states[state]);
      total += cohort;
      gone += counts[1];
      never += counts[2];
      const fits = counts.every((count) => Number.isInteger(count) && count >= 0) && counts[0] + counts[1] + counts[2] === cohort;
      return fits && (!roots || roots[code] === root);
    });
    const known = Object.keys(seen || {});
    const other = known.filter((code) => (transcript.lines[code] || {}).root !== seen[code]);
    return [
      check("counts", !odd.length, { lines: odd.join(", "), total, gone, never }),
      check("seen", other.length ? false : known.length ? true : null, { lines: other.join(", ") }),
    ];
  }

  async function ofBeacon({ beacon, frozen_at }, known) {
    const chain = known.chain || QUICKNET;
    const { round, signature, randomness } = beacon;
    const follows = beacon.chain === chain.hash && round === roundAfter(frozen_at, chain) && (!known.round || known.round === round);
    const hashed = await holds(async () => hex(await sha256(bytes(signature))) === randomness);
    return [check("round", follows, { round }), check("random", hashed), check("signature", null, { round })];
  }

  /** The signed bytes of a receipt: RFC 8785. */
  function canonical(value) {
    if (Array.isArray(value)) return "[" + value.map(canonical) + "]";
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    return "{" + Object.keys(value).sort().map((name) => JSON.stringify(name) + ":" + canonical(value[name])) + "}";
  }

  const ofBase64 = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));

  /** Whether one of the keys has signed a receipt. null: this browser does not know Ed25519. */
  async function isSigned({ receipt, key, signature }, keys) {
    const found = keys.find(({ kid }) => kid === key);
    if (!found) return false;
    let imported;
    try {
      imported = await crypto.subtle.importKey("raw", ofBase64(found.x), "Ed25519", false, ["verify"]);
    } catch (_) {
      return null;
    }
    const signed = new TextEncoder().encode("flashsale/receipt/v1\n" + canonical(receipt));
    return holds(() => crypto.subtle.verify("Ed25519", imported, ofBase64(signature), signed));
  }

  /** Checks a receipt against the keys and the lines of a transcript, or what is public of them before the draw.
   *
   * lines: by code, null if nothing is public yet. freezesAt: in ms. carried: the lines that have no draw of their own. */
  async function ofReceipt(signed, { sale, keys, lines, freezesAt, carried, version, drawn }) {
    const { receipt } = signed;
    const { index } = receipt;
    const line = lines && lines[receipt.line];
    const found = [
      check("sale", receipt.sale === sale && (!lines || Boolean(line)), { line: receipt.line, index }),
      check("signed", await isSigned(signed, keys)),
    ];
    if (!line || receipt.sale !== sale) return found;
    const { cohort } = line;
    const late = index > cohort;
    const early = receipt.time + CLOCKS_MS < freezesAt && carried.indexOf(receipt.line) < 0;
    const counted = early && late ? "left-out" : late ? "late" : "counted";
    found.push(check(counted, counted !== "left-out", { index, cohort }));
    if (version === 2 && !late) found.push(await ofInclusion(receipt, line));
    if (drawn) found.push(check("number", true, { index, number: await number(index, cohort, line.seed) }));
    return found;
  }

  async function ofInclusion(receipt, { root, cohort }) {
    const { leaf, proof, state, index } = receipt;
    if (!leaf) return check("no-proof", null);
    const found = await holds(async () => (await rootOf({ leaf, index, cohort, proof })) === root);
    const same = found && receipt.root === root && receipt.cohort === cohort;
    return same && state ? check("gone", null, { index }) : check("included", same, { index });
  }

  /** The same receipt in a link: see flashsale/web/pages/proof_page.py. null: the text has none. */
  function ofLink(sale, text) {
    const members = new URLSearchParams(text);
    const get = (name) => members.get(name);
    if (!get("index")) return null;
    const receipt = { version: 1, sale, line: get("line"), index: Number(get("index")), time: Number(get("time")), holder: {} };
    for (const axis of (get("holder") || "").split(",").filter(Boolean)) {
      const [name, mark] = axis.split(":");
      receipt.holder[name] = mark;
    }
    if (get("hashes")) {
      const [root, leaf, ...proof] = hex(ofBase64(get("hashes"))).match(/.{64}/g) || [];
      Object.assign(receipt, { cohort: Number(get("cohort")), state: Number(get("state")), root, leaf, proof });
    }
    return { receipt, key: get("key"), signature: get("signature") };
  }

  /** The check of the waiting page: the transcript is true, and the number of the place follows from it. */
  async function onWaitingPage(ask, data, doc, place, stored, count) {
    const transcript = await ask(data.transcript);
    const { round } = doc.draw || {};
    const known = {
      commitment: stored.commitment || doc.commitment,
      version: doc.draw ? 2 : 1,
      beacon: round ? (data.chain || QUICKNET).hash : "",
      round,
      seen: seenBy(stored),
      chain: data.chain,
    };
    const checks = await ofTranscript(transcript, known);
    const drawn = (transcript.lines || {})[data.line];
    const isTrue = drawn && checks.every((check) => check.holds !== false);
    const found = isTrue ? await number(place ? place.index : 1, drawn.cohort, drawn.seed) : 0;
    const fits = found && (!place || !place.number || found === place.number);
    const { texts } = data;
    const part = document.getElementById("checked");
    part.className = fits ? "good" : "bad";
    part.textContent = (fits ? (place ? texts.true : texts.fits) : texts.false).replace("{n}", count(found));
  }

  return { ofTranscript, ofReceipt, ofLink, onWaitingPage, seenBy, rootOf, roundAfter };
})();
