// The page: who is signed in, what the API answered, and the buttons.

import { explain, makeAuth } from "./auth.js";
import { Client } from "./client.js";
import { drawRuns } from "./diagram.js";

const KEPT_RUNS = 3;
const $ = (id) => document.getElementById(id);

let auth, client;
let busy = false;

// What was recorded lives as long as the tab, for one account only; a redirect in the middle does not lose it.
const runs = {
  key: () => `runs.${auth.account.homeAccountId}`,
  all: () => JSON.parse(sessionStorage.getItem(runs.key()) ?? "[]"),
  add(run) {
    const before = runs.all();
    const all = [{ ...run, number: (before[0]?.number ?? 0) + 1 }, ...before];
    sessionStorage.setItem(runs.key(), JSON.stringify(all.slice(0, KEPT_RUNS)));
  },
  clear: () => sessionStorage.removeItem(runs.key()),
};

function say(text, mood = "") {
  $("status").textContent = text;
  $("status").dataset.mood = mood;
}

function heard(response) {
  const recording = response.headers.get("Demo-Recording");
  if (!recording) return;
  runs.add(JSON.parse(recording));
  drawRuns($("runs"), runs.all());
}

function showAccount() {
  const account = auth.account;
  $("welcome").hidden = Boolean(account);
  $("desk").hidden = !account;
  $("who").hidden = !account;
  if (!account) return;
  $("account-name").textContent = account.name ?? account.username;
  $("avatar").textContent = (account.name ?? account.username).slice(0, 1);
  drawRuns($("runs"), runs.all());
}

function showMailbox({ profile, messages }) {
  $("profile-name").textContent = profile.name;
  $("profile-mail").textContent = profile.mail;
  $("profile-id").textContent = profile.id;
  $("mail").replaceChildren(
    ...messages.map((message) => {
      const item = document.createElement("li");
      const subject = document.createElement("strong");
      const preview = document.createElement("span");
      subject.textContent = message.subject;
      preview.textContent = message.preview;
      item.append(subject, preview);
      return item;
    }),
  );
}

async function load({ fresh = false } = {}) {
  say("Calling the API…");
  showMailbox(await client.call("/api/mailbox", { fresh }));
  const off = $("switch").dataset.action === "provider-on";
  say(off ? "Entra is off, and you notice nothing: the API has your token for Graph." : "Done: profile and mail are yours.", "good");
}

async function act(action) {
  say("Pressing the button…");
  await client.call(`/demo/${action}`, { method: "POST", headers: { "X-Demo": "1" } });
  if (action.startsWith("provider-")) showSwitch(action === "provider-off");
  // A new key is met with the next new token.
  await load({ fresh: action === "rotate-keys" });
}

function showSwitch(off) {
  const button = $("switch");
  button.dataset.action = off ? "provider-on" : "provider-off";
  button.setAttribute("aria-pressed", String(off));
}

// One thing at a time; what goes wrong is said, not swallowed. The switch works while somebody waits for the provider.
async function run(task) {
  if (busy) return;
  setBusy(true);
  try {
    await task();
  } catch (error) {
    say(explain(error), "bad");
  } finally {
    setBusy(false);
  }
}

function setBusy(value) {
  busy = value;
  $("desk").setAttribute("aria-busy", String(value));
  for (const button of document.querySelectorAll("#load, #events button:not(#switch)")) {
    button.setAttribute("aria-disabled", String(value));
  }
}

async function flipSwitch() {
  const action = $("switch").dataset.action;
  if (!busy) return run(() => act(action));
  await client.call(`/demo/${action}`, { method: "POST", headers: { "X-Demo": "1" } });
  showSwitch(action === "provider-off");
}

// Nothing of a user stays behind, not even for the button "Back". It works while a call is waiting, too.
function signOut() {
  runs.clear();
  $("desk").remove();
  return auth.signOut();
}

// A page that the browser had put aside shows who was signed in then.
addEventListener("pageshow", (event) => event.persisted && location.reload());

function listen() {
  $("sign-in").addEventListener("click", () => run(() => auth.signIn()));
  $("sign-out").addEventListener("click", () => signOut().catch((error) => say(explain(error), "bad")));
  $("load").addEventListener("click", () => run(load));
  $("switch").addEventListener("click", () => flipSwitch().catch((error) => say(explain(error), "bad")));
  for (const button of document.querySelectorAll("#events button:not(#switch)")) {
    button.addEventListener("click", () => run(() => act(button.dataset.action)));
  }
  let frame = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => auth.account && drawRuns($("runs"), runs.all()));
  }).observe($("runs"));
}

async function start() {
  const config = await (await fetch("/config.json", { cache: "no-store" })).json();
  auth = await makeAuth(config);
  client = new Client(auth, { heard, say });
  listen();
  showAccount();
  const consent = new URLSearchParams(location.search).get("consent");
  // What a sign-out or a consent brought along has done its work.
  if (location.search) history.replaceState(null, "", "/");
  if (!auth.account) return say("Nobody is signed in.");
  if (consent === "declined") return say("You declined, so the API cannot call Graph for you.", "warn");
  await run(async () => {
    showSwitch((await client.call("/demo/state")).providerOff);
    // The API remembers for a minute that this token met no consent: come with another one.
    await load({ fresh: consent === "accepted" });
  });
}

start().catch((error) => say(`This page could not start: ${explain(error)}`, "bad"));
