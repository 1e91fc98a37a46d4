// One order with a generated TypeScript client: enter, wait for the call, reserve, confirm, read the events.
//
//   npm install openapi-fetch openapi-typescript typescript@5
//   npx openapi-typescript $URL/v1/openapi.json --output schema.d.ts
//   npx tsc --strict --target es2022 --module nodenext walk.ts
//   URL=… KEY=… SALE=… LINE=… node walk.js

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { env: Record<string, string> };

const { URL, KEY, SALE, LINE } = process.env;
const client = createClient<paths>({ baseUrl: URL, headers: { Authorization: `Bearer ${KEY}` } });
const path = { sale: SALE, line: LINE };
const who = { phone: "0812-3456-7891", email: "citra@example.com" };
const address = "Jl. Melati No. 12, Bandung";

// The answer, if it is not a refusal. A program acts on `code` here; a new code is a string like any other.
function good<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.error || answer.data === undefined) throw new Error(answer.error?.code ?? "no answer");
  return answer.data;
}

const sale = good(await client.GET("/v1/sales/{code}", { params: { path: { code: SALE } } }));
const line = "/v1/sales/{sale}/lines/{line}";
const entered = good(await client.POST(`${line}/enter`, { params: { path }, body: { identity: who } }));
const { place } = entered;
console.log("entered");

// One place only. For a crowd, compute the numbers from `called` and `seed` of the status instead.
while (good(await client.POST(`${line}/look`, { params: { path }, body: { place } })).state !== "called") {
  const { poll_ms } = good(await client.GET(`${line}/status`, { params: { path } }));
  await new Promise((resolve) => setTimeout(resolve, poll_ms / 10));
}

const held = good(
  await client.POST(`${line}/reserve`, {
    params: { path, header: { "Idempotency-Key": crypto.randomUUID() } },
    body: { place, items: [{ sku: sale.offers[0].sku, quantity: 1 }] },
  }),
);
const confirmed = good(
  await client.POST("/v1/reservations/{id}/confirm", {
    params: { path: { id: held.reservation }, header: { "Idempotency-Key": crypto.randomUUID() } },
    body: {
      identity: { ...who, address },
      contact: { name: "Citra", address, ...who },
      language: "id",
      price: held.amount,
      method: "partner", // you have charged the buyer; this is your reference of the payment
      instrument: `P-${held.reservation}`,
    },
  }),
);
const { results } = good(await client.GET("/v1/events", { params: { query: { limit: 1000 } } }));
console.log(
  confirmed.state,
  ...results.filter((event) => event.reservation === confirmed.id).map((event) => event.type),
);
