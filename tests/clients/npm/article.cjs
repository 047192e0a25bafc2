// The article's sequence through the npm SDK, unmodified. Prints one JSON line a step and waits for one line of input where a person acts.
// node article.cjs <base url> <api key>
"use strict";

const readline = require("node:readline");
const authy = require("authy")(process.argv[3], process.argv[2]);

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function told() {
  return (await lines.next()).value;
}

function step(name, call) {
  return new Promise((resolve) => {
    call((err, res) => {
      console.log(JSON.stringify({ step: name, err: err === undefined ? null : err, res: res === undefined ? null : res }));
      resolve(res);
    });
  });
}

async function oneTouch(authyID, name) {
  const asked = await step(name, (done) =>
    authy._request(
      "post",
      `/onetouch/json/users/${authyID}/approval_requests`,
      { "details[Email Address]": "alice@example.com", message: "Please authorize login to the registration demo app." },
      done,
    ),
  );
  const url = `/onetouch/json/approval_requests/${asked.approval_request.uuid}`;
  await step("status", (done) => authy._request("get", url, {}, done));
  await told(); // the person has pressed a button
  await step("status", (done) => authy._request("get", url, {}, done));
}

async function main() {
  const registered = await step("register_user", (done) => authy.register_user("alice@example.com", "408-555-5270", "1", done));
  const authyID = registered.user.id;
  await step("request_sms", (done) => authy.request_sms(authyID, done));
  await step("verify", async (done) => authy.verify(authyID, await told(), done));
  await step("verify wrong", (done) => authy.verify(authyID, "1234567", done));
  await told(); // the app is installed
  await oneTouch(authyID, "onetouch");
  await oneTouch(authyID, "onetouch again");
  lines.return();
  process.stdin.destroy();
}

main();
