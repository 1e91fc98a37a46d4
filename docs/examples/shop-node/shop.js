/* A small shop behind the line: Node.js 18 or newer, no dependencies. README.md explains it.
 *
 *   SALE_URL  the server of the line, such as https://sale.example
 *   KEY       the key of your channel
 *   SALE, LINE  the codes of the sale and of your line
 *   AUDIENCE  "campaign/channel"
 *   PORT, DATA  where the shop listens, and its file of orders
 */
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");

const { SALE_URL, KEY, SALE, LINE, AUDIENCE, PORT = "3000", DATA = "orders.json" } = process.env;
const SKEW_S = 30;

// --- Our table of orders: a file that is replaced as a whole. A real shop has a database. ---------------------------

const db = { after: "", orders: {} };
if (fs.existsSync(DATA)) Object.assign(db, JSON.parse(fs.readFileSync(DATA, "utf8")));

function save() {
  fs.writeFileSync(`${DATA}.new`, JSON.stringify(db, null, 1));
  fs.renameSync(`${DATA}.new`, DATA);
}

function order(reservation) {
  return (db.orders[reservation] = db.orders[reservation] || { state: "held", sequence: 0, payment: "" });
}

// --- Calls of the API -------------------------------------------------------------------------------------------------

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends a request. With a key of its own, the same request goes again until there is an answer. */
async function call(method, path, body, key) {
  for (let tries = 1; ; tries++) {
    const headers = { Authorization: `Bearer ${KEY}`, Accept: "application/json" };
    if (body) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    const request = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(20000) };
    const answer = await fetch(SALE_URL + path, request).catch(() => null);
    const document = answer && (await answer.json().catch(() => null));
    const again = !document || answer.status === 202 || answer.status === 429 || answer.status >= 500;
    if (!again || tries === 5) return { status: document ? answer.status : 503, document: document || {} };
    await pause(1000 * (Number(answer && answer.headers.get("Retry-After")) || tries));
  }
}

// --- Passes -------------------------------------------------------------------------------------------------------------

let keys = {};
let keysAt = 0;

/** The public key with this id. An unknown id reads the keys again, but at most every ten seconds. */
async function publicKey(kid) {
  if (!keys[kid] && Date.now() - keysAt > 10000) {
    keysAt = Date.now();
    const { document } = await call("GET", "/v1/keys");
    keys = Object.fromEntries((document.keys || []).map((key) => [key.kid, key]));
  }
  return keys[kid] && crypto.createPublicKey({ key: keys[kid], format: "jwk" });
}

/** The claims of a pass for this shop, or null. The API checks all of it again: this only saves calls. */
async function readPass(text) {
  try {
    const [head, body, signature] = text.split(".");
    const header = JSON.parse(Buffer.from(head, "base64url"));
    if (header.alg !== "EdDSA" || header.typ !== "flashsale-pass+jwt") return null;
    const key = await publicKey(header.kid);
    if (!key || !crypto.verify(null, Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"))) return null;
    const claims = JSON.parse(Buffer.from(body, "base64url"));
    const fits = claims.aud === AUDIENCE && claims.exp > Date.now() / 1000 - SKEW_S;
    return fits ? claims : null;
  } catch {
    return null;
  }
}

// --- Visits: the browser that redeemed the newest pass of a reservation -----------------------------------------------

const visits = new Map();

function begin(redeemed) {
  const { reservation, number } = redeemed;
  for (const [cookie, visit] of visits) if (visit.id === reservation.id) visits.delete(cookie);
  const cookie = crypto.randomBytes(24).toString("base64url");
  visits.set(cookie, { id: reservation.id, number, amount: reservation.amount, until: reservation.deadline_at });
  return cookie;
}

function visitOf(request) {
  const cookie = /(?:^|; )visit=([\w-]+)/.exec(request.headers.cookie || "");
  return cookie && visits.get(cookie[1]);
}

// --- Payment: replace these with your payment provider --------------------------------------------------------------------

const authorise = async () => crypto.randomUUID();
const capture = async (_payment) => {};
const cancel = async (_payment) => {};
const giveBack = async (payment) => `back-${payment}`;

/**
 * Pays an order. Each step is written down before the next one, so resume() can go on after a crash.
 *
 * 1. The payment is authorised: the money is reserved, and not taken yet.
 * 2. The line confirms the order, with the reference of the payment. Only now the units are sold.
 * 3. The money is taken. If the line refuses, it is given free.
 */
const paying = new Set();

async function pay(id, buyer) {
  const row = order(id);
  if (paying.has(id) || row.state !== "held") return { status: 409, document: { title: "Sedang diproses" } };
  paying.add(id);
  try {
    await write(row, buyer);
    return await finish(id);
  } finally {
    paying.delete(id);
  }
}

async function write(row, buyer) {
  if (!row.payment) {
    // If the shop dies before the row is saved, the authorisation ends by itself.
    row.payment = await authorise();
    row.request = {
      identity: { phone: buyer.phone, email: buyer.email, address: buyer.address },
      contact: { name: buyer.name, address: buyer.address, phone: buyer.phone, email: buyer.email },
      language: "id", price: Number(buyer.amount), method: "partner", instrument: row.payment,
    };
    save();
  }
}

/** What an answer of confirm says that does not settle the payment: the key, the time or the server is not right. */
const UNKNOWN = (status) => status < 400 || status >= 500 || [401, 408, 429].includes(status);

async function finish(id) {
  const row = order(id);
  const { status, document } = await call("POST", `/v1/reservations/${id}/confirm`, row.request, `pay-${row.payment}`);
  if (status === 200 && document.state === "confirmed") {
    await capture(row.payment);
    row.state = "confirmed";
    delete row.request;
  } else if (!UNKNOWN(status)) {
    await cancel(row.payment);
    row.payment = "";
    delete row.request;
  }
  save();
  return { status, document };
}

/** Goes on with payments that were under way when the shop ended, or that the line has not answered. */
async function resume() {
  for (const id of Object.keys(db.orders)) if (db.orders[id].request && !paying.has(id)) await finish(id);
}

/** Sends money back that the line asks for, and says that it is done. Safe to repeat. */
async function refund(id) {
  const row = order(id);
  const body = { refund: row.refund, reference: await giveBack(row.payment) };
  const { status } = await call("POST", `/v1/reservations/${id}/refund`, body, `refund-${row.refund}`);
  if (status !== 200) return;
  delete row.refund;
  save();
}

// --- The feed of events keeps our table right, whatever we have missed ------------------------------------------------

async function follow() {
  for (;;) {
    const { status, document } = await call("GET", `/v1/events${db.after ? `?after=${db.after}` : ""}`);
    if (status === 404) db.after = "";
    if (status === 200) {
      for (const event of document.results) {
        if (!event.reservation) continue;
        const row = order(event.reservation);
        if (event.sequence <= row.sequence) continue;
        row.sequence = event.sequence;
        const [what, how] = event.type.split(".");
        if (what === "reservation") row.state = how === "restored" ? "confirmed" : how;
        if (event.type === "refund.sent") row.refund = event.data.refund;
      }
      db.after = document.after;
      save();
    }
    if (status === 200 && document.more) continue;
    await resume();
    for (const id of Object.keys(db.orders)) if (db.orders[id].refund) await refund(id);
    await pause(1000);
  }
}

// --- Pages --------------------------------------------------------------------------------------------------------------

const origin = new URL(SALE_URL).origin;
const POLICY = `default-src 'none'; script-src ${origin}; connect-src ${origin}; frame-src ${origin}; form-action 'self'; base-uri 'none'`;
const escape = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

function page(response, status, body, headers = {}) {
  response.writeHead(status, {
    "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY, "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", ...headers,
  });
  response.end(`<!doctype html><html lang="id"><meta charset="utf-8"><title>Toko</title><main>${body}</main></html>`);
}

const LINE_LINK = `${SALE_URL}/s/${SALE}/`;
const BACK = `<p><a href="${escape(LINE_LINK)}">Kembali ke antrean</a></p>`;

function home(response, query) {
  const ticket = /^\d{1,8}$/.test(query.get("ticket") || "") ? ` index="${query.get("ticket")}"` : "";
  page(response, 200, `<h1>Toko</h1>
<script src="${escape(SALE_URL)}/snippet.js" defer></script>
<flashsale-line sale="${escape(SALE)}" line="${escape(LINE)}"${ticket}><a href="${escape(LINE_LINK)}">Masuk antrean</a></flashsale-line>
<form><label>Nomor tiket <input name="ticket" inputmode="numeric"></label> <button>Lihat</button></form>`);
}

/** The browser comes from the line with a pass in the body. It goes on with a cookie, so that a reload sends no pass. */
async function arrive(response, form) {
  const text = form.get("pass") || "";
  if (!(await readPass(text))) return page(response, 400, `<h1>Tiket masuk tidak berlaku</h1>${BACK}`);
  // A key for this visit. A key that is made from the pass would let a thief of the pass repeat our request.
  const { status, document } = await call("POST", "/v1/passes/redeem", { pass: text }, crypto.randomUUID());
  if (status !== 200) return page(response, status, `<h1>${escape(document.title || "Coba lagi")}</h1>${BACK}`);
  order(document.reservation.id);
  save();
  const secure = SALE_URL.startsWith("https") ? "; Secure" : "";
  const cookie = `visit=${begin(document)}; Path=/; HttpOnly; SameSite=Lax${secure}`;
  response.writeHead(303, { Location: "/checkout", "Set-Cookie": cookie, "Cache-Control": "no-store" });
  response.end();
}

function checkout(response, visit, message = "") {
  if (!visit) return page(response, 403, `<h1>Tidak ada pesanan</h1>${BACK}`);
  page(response, message ? 422 : 200, `<h1>Bayar</h1><p role="alert">${escape(message)}</p>
<p>Total: Rp ${visit.amount.toLocaleString("id")}. Bayar sebelum ${escape(visit.until)}.</p>
<form method="post" action="/pay">
<label>Nama <input name="name" required></label>
<label>Alamat <input name="address" required></label>
<label>Telepon <input name="phone" type="tel" required></label>
<label>E-mail <input name="email" type="email" required></label>
<button>Bayar</button></form>`);
}

async function payNow(request, response, form) {
  const visit = visitOf(request);
  const origins = [undefined, `http://${request.headers.host}`, `https://${request.headers.host}`];
  if (!visit || !origins.includes(request.headers.origin)) return checkout(response, null);
  const buyer = Object.fromEntries(form);
  const { status, document } = await pay(visit.id, { ...buyer, amount: visit.amount });
  if (status === 200) return page(response, 200, `<h1>Terima kasih</h1><p>Pesanan ${escape(visit.id)} sudah dibayar.</p>`);
  checkout(response, visit, document.title || "Coba lagi");
}

function formOf(request) {
  return new Promise((resolve, reject) => {
    let body = "";
    request.on("error", reject);
    request.on("data", (part) => {
      body += part;
      if (body.length > 10000) request.destroy(new Error("too large"));
    });
    request.on("end", () => resolve(new URLSearchParams(body)));
  });
}

async function serve(request, response) {
  const url = new URL(request.url, "http://shop");
  const where = `${request.method} ${url.pathname}`;
  if (where === "GET /") return home(response, url.searchParams);
  if (where === "POST /checkout") return arrive(response, await formOf(request));
  if (where === "GET /checkout") return checkout(response, visitOf(request));
  if (where === "POST /pay") return payNow(request, response, await formOf(request));
  page(response, 404, `<h1>Tidak ditemukan</h1>${BACK}`);
}

http
  .createServer((request, response) => {
    serve(request, response).catch((error) => {
      console.error(error);
      if (!response.headersSent) page(response, 500, "<h1>Coba lagi</h1>");
    });
  })
  .listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}/`));
follow();
