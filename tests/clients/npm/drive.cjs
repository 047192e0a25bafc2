// Calls the SDKs, unmodified, as it is told: one JSON line in for each call, one JSON line out for what came of it.
// In:  {"package": "authy", "key": "...", "url": "...", "call": "phones.info", "arguments": [...], "callback": true}
// Out: {"called": [...]} with the callback's arguments, or {"resolved": ...}, {"rejected": ...}, {"threw": ...}
"use strict";

const readline = require("node:readline");

const clients = new Map();
const makers = {
  authy: (key, url) => require("authy")(key, url),
  "authy-client": (key, url) => new (require("authy-client").Client)({ key }, { host: url }),
};

function client(name, key, url) {
  const known = JSON.stringify([name, key, url]);
  if (!clients.has(known)) clients.set(known, makers[name](key, url));
  return clients.get(known);
}

// JSON knows neither undefined nor errors.
function plain(value) {
  if (value === undefined) return { $undefined: true };
  if (value instanceof Error) {
    const fields = value.errors && [...named(value.errors, "")];
    return { $error: value.constructor.name, message: value.message, code: value.code, body: value.body, fields };
  }
  return value;
}

// The fields that a validation did not like: "status.country_code".
function* named(errors, above) {
  for (const [name, found] of Object.entries(errors)) {
    if (found && found.constructor === Object && !("__class__" in found)) yield* named(found, `${above}${name}.`);
    else yield above + name;
  }
}

function run(asked) {
  return new Promise((resolve) => {
    const path = asked.call.split(".");
    const name = path.pop();
    const made = client(asked.package, asked.key, asked.url);
    const target = path.reduce((object, method) => object[method](), made);
    const called = (...given) => resolve({ called: given.map(plain) });
    const promised = target[name](...asked.arguments, ...(asked.callback ? [called] : []));
    if (asked.callback) return;
    promised.then(
      (value) => resolve({ resolved: plain(value) }),
      (error) => resolve({ rejected: plain(error) }),
    );
  }).catch((error) => ({ threw: plain(error) }));
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await run(JSON.parse(line))));
  }
  process.exit(); // connections that are kept alive would hold it
}

main();
