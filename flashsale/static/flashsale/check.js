/* The checks of a draw and of a receipt, as flashsale/rules/lottery.py and receipts.py make them. The draw itself is in
 * line.js. Loaded by the proof page, and by the waiting page at a click.
 *
 * A check is { name, holds, values }. holds: true, false, or null (this browser cannot tell). */
"use strict";

self.drawChecks = (() => {
  const { number, commitment, seed, sha256, bytes, hex, bigEndian } = draw;
  // As lottery.py: the chain of drand, and how long the root is public before the round exists.
  const QUICKNET = {
    hash: "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
    genesis_s: 1692803367,
    period_s: 3,
  };
  const DELAY_S = 30;
  // The clocks of two servers may differ by a second.
  const CLOCKS_MS = 1000;
  // As rules/entries.py. A phone hashes this many tickets in some seconds.
  const TILE = 1024;
  const LEAVES_MAX = 50 * TILE;

  const check = (name, holds, values) => ({ name, holds, values: values || {} });

  const isHex = (value, size) => typeof value === "string" && value.length === 2 * size && !/[^0-9a-f]/.test(value);
  const isHash = (value) => isHex(value, 32);
  const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const own = (object, name) => (Object.prototype.hasOwnProperty.call(object, name) ? object[name] : undefined);

  /** A JSON text as lottery.py reads it. Throws SyntaxError if a name stands twice in one object, because one program keeps the
   * first value and another program the last. Throws it for a number that is not written as a whole number, too. */
  function parse(text) {
    let members = -1;
    const found = JSON.parse(text, function (_, value) {
      if (!Array.isArray(this)) members++;
      return value;
    });
    const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, "");
    if (bare.split(":").length - 1 !== members || /\d[.eE]/.test(bare)) throw new SyntaxError("another program reads it otherwise");
    return found;
  }

  /** Whether lottery.py can read a transcript. */
  function isReadable(transcript) {
    if (!isObject(transcript)) return false;
    const { version, sale, secret, beacon, frozen_at, lines } = transcript;
    const named = typeof sale === "string" || Number.isInteger(sale);
    if (!named || !isHash(transcript.commitment) || !isHash(secret) || !isObject(lines)) return false;
    const codes = Object.keys(lines);
    // One half of a surrogate pair cannot be written in UTF-8.
    if (!codes.every((code) => !/[\ud800-\udfff]/u.test(code) && isObject(lines[code]) && isCount(lines[code].cohort) && isHash(lines[code].seed))) return false;
    if (version === 1) return typeof beacon === "string" && isHex(beacon, beacon.length >> 1);
    const drand = beacon === null || (isObject(beacon) && isHash(beacon.chain) && isCount(beacon.round) && isHex(beacon.signature, 48) && isHash(beacon.randomness));
    return version === 2 && drand && ([null, undefined].includes(frozen_at) || isCount(frozen_at)) && codes.every((code) => isOfEntries(lines[code]));
  }

  function isOfEntries({ root, states }) {
    return isHash(root) && isObject(states) && Object.keys(states).sort().join() === "0,1,2" && [0, 1, 2].every((state) => isCount(states[state]));
  }

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
    for (const code of Object.keys(transcript.lines)) {
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
    if (!(1 <= index && index <= cohort) || ![leaf].concat(proof).every(isHash)) return "";
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
   * known: what was public before. sale; commitment; version; beacon (hash of the declared chain, "" for none); lines (as
   * the server shows them now); seen (roots by line that this browser saw before the numbers); round; frozen_at; chain
   * (if it is not quicknet). If lottery.py cannot read the file, there is no other check. */
  async function ofTranscript(transcript, known) {
    const found = [];
    const add = (name, result, values) => found.push(check(name, result, values));
    if (!isReadable(transcript) || (known.sale && transcript.sale !== known.sale)) return [check("file", false)];
    const { version, beacon } = transcript;
    const announced = version === 1 ? beacon === "" : ((beacon || {}).chain || "") === known.beacon && Boolean(beacon || !known.round);
    add("secret", await holds(async () => (await commitment(transcript.secret)) === known.commitment));
    add("kind", version === known.version && announced);
    if (version === 2) {
      found.push(...(await ofEntries(transcript, known)));
      if (known.frozen_at && known.frozen_at !== transcript.frozen_at) add("freeze", false);
      if (beacon) found.push(...(await ofBeacon(transcript, known)));
      // Only version 2 has a root.
    } else if (Object.keys(known.seen || {}).length) add("seen", false, { lines: Object.keys(known.seen).join(", ") });
    const random = version === 2 && beacon ? beacon.randomness : "";
    const odd = await failing(transcript, async (line, code) => {
      const root = version === 2 ? line.root : "";
      return (await seed(transcript.secret, code, line.cohort, random, root)) === line.seed;
    });
    add("seeds", !odd.length, { lines: odd.join(", "), count: Object.keys(transcript.lines).length });
    return found;
  }

  async function ofEntries(transcript, { lines, seen }) {
    let total = 0, gone = 0, never = 0;
    const empty = hex(await sha256());
    const odd = await failing(transcript, ({ cohort, root, states }, code) => {
      const counts = [0, 1, 2].map((state) => states[state]);
      total += cohort;
      gone += counts[1];
      never += counts[2];
      const fits = counts[0] + counts[1] + counts[2] === cohort && (cohort > 0 || root === empty);
      return fits && (!lines || isSame(own(lines, code), { cohort, root, states }));
    });
    odd.push(...Object.keys(lines || {}).filter((code) => !own(transcript.lines, code)));
    const known = Object.keys(seen || {});
    const other = known.filter((code) => (own(transcript.lines, code) || {}).root !== seen[code]);
    return [
      check("counts", !odd.length, { lines: odd.join(", "), total, gone, never }),
      check("seen", other.length ? false : known.length ? true : null, { lines: other.join(", ") }),
    ];
  }

  const isSame = (shown, { cohort, root, states }) =>
    shown && shown.root === root && shown.cohort === cohort && [0, 1, 2].every((state) => shown.states[state] === states[state]);

  /** Checks that the leaves of all tickets give the roots. Then no ticket is missing, and none was added.
   *
   * read gives a tile of a line as bytes, or null after the campaign was erased. */
  async function ofLeaves({ lines }, read) {
    const total = Object.keys(lines).reduce((sum, code) => sum + lines[code].cohort, 0);
    if (total > LEAVES_MAX) return check("all", null, { total });
    const odd = [];
    for (const code of Object.keys(lines)) {
      const { cohort, root, states } = lines[code];
      const leaves = [];
      for (let tile = 0; tile * TILE < cohort; tile++) {
        const part = await read(code, tile);
        if (!part) return check("all", null, { total });
        for (let at = 0; at < part.length; at += 32) leaves.push(part.subarray(at, at + 32));
      }
      // Anyone can compute the leaf of a ticket that was never given, so this check counts these leaves, too.
      const unused = await Promise.all(leaves.map((leaf, at) => sha256([0], bigEndian(at + 1, 8), [2])));
      const never = leaves.filter((leaf, at) => hex(leaf) === hex(unused[at])).length;
      if (leaves.length !== cohort || never !== states[2] || hex(await rootOver(leaves)) !== root) odd.push(code);
    }
    return check("all", !odd.length, { total, lines: odd.join(", ") });
  }

  /** The root of the tree over these leaves: RFC 9162, section 2.1.1. A node without a neighbour moves up unchanged. */
  async function rootOver(leaves) {
    let level = leaves;
    while (level.length > 1) {
      const pairs = [];
      for (let at = 0; at < level.length; at += 2) pairs.push(level.slice(at, at + 2));
      level = await Promise.all(pairs.map((pair) => (pair.length > 1 ? sha256([1], ...pair) : pair[0])));
    }
    return level.length ? level[0] : sha256();
  }

  async function ofBeacon({ beacon, frozen_at }, known) {
    const chain = known.chain || QUICKNET;
    const { round, signature, randomness } = beacon;
    const follows = beacon.chain === chain.hash && isCount(frozen_at) && round === roundAfter(frozen_at, chain) && (!known.round || known.round === round);
    const hashed = await holds(async () => hex(await sha256(bytes(signature))) === randomness);
    const found = [check("round", follows, { round }), check("random", hashed)];
    // A person who has the key of another chain knows its rounds before they come.
    return found.concat(known.chain ? check("chain", null, { chain: chain.hash }) : check("signature", null, { round }));
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
    const line = lines && own(lines, receipt.line);
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

  async function ofInclusion(receipt, { root, cohort, states }) {
    const { leaf, proof, state, index } = receipt;
    if (!leaf) return check("no-proof", null);
    const found = await holds(async () => (await rootOf({ leaf, index, cohort, proof })) === root);
    const same = found && receipt.root === root && receipt.cohort === cohort && own(states, state) > 0;
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
    const round = stored.round || (doc.draw || {}).round;
    const known = {
      sale: data.sale,
      commitment: stored.commitment || doc.commitment,
      version: doc.draw ? 2 : 1,
      beacon: round ? (data.chain || QUICKNET).hash : "",
      round,
      seen: seenBy(stored),
      chain: data.chain,
    };
    const checks = await ofTranscript(transcript, known);
    const drawn = own(transcript.lines || {}, data.line);
    const isTrue = drawn && checks.every((check) => check.holds !== false);
    const found = isTrue ? await number(place ? place.index : 1, drawn.cohort, drawn.seed) : 0;
    const fits = found && (!place || !place.number || found === place.number);
    const { texts } = data;
    const part = document.getElementById("checked");
    part.className = fits ? "good" : "bad";
    part.textContent = (fits ? (place ? texts.true : texts.fits) : texts.false).replace("{n}", count(found));
  }

  return { parse, ofTranscript, ofLeaves, ofReceipt, ofLink, onWaitingPage, seenBy, rootOf, roundAfter };
})();
