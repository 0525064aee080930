// Turns what the API recorded into what the picture shows: arrows between lanes, and notes on the API's lane.

export const LANES = ["Browser", "Your API", "Entra", "Graph"];
const [BROWSER, API, ENTRA, GRAPH] = LANES.keys();

const ms = (value) => (value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`);
const arrow = (from, to, text, mood = "") => ({ from, to, text, mood });
const back = (from, to, text, mood = "") => ({ from, to, text, mood, back: true });
const note = (lines, mood = "") => ({ at: API, lines, mood });

const ROWS = {
  request: (step) => [arrow(BROWSER, API, `GET ${step.path}, token for the API`)],
  keys: () => [arrow(API, ENTRA, "fetch the signing keys"), back(ENTRA, API, "keys")],
  valid: (step, claims) => [note(describe(claims, step.left), "good")],
  hit: () => [note(["Cache hit", "no exchange"], "good")],
  exchange: (step) => [arrow(API, ENTRA, `on behalf of you: ${step.scope}`)],
  exchanged: (step) => [exchanged(step)],
  call: (step) => [arrow(API, GRAPH, `GET ${step.path.replace("/v1.0", "")}, token for Graph`)],
  called: (step) => [called(step)],
  answer: (step) => [back(API, BROWSER, `${step.status} after ${ms(step.took)}`, step.status < 400 ? "good" : "bad")],
};

function exchanged(step) {
  const tries = step.tries > 1 ? `, ${step.tries} tries` : "";
  if (step.status === 200) return back(ENTRA, API, `token for Graph, ${ms(step.took)}${tries}`, "good");
  const reason = step.code ? `AADSTS${step.code} ${step.error}` : `${step.status || "no answer"}`;
  return back(ENTRA, API, `${reason}${tries}`, "bad");
}

function called(step) {
  const what = step.challenged ? "401 claims challenge" : String(step.status);
  return back(GRAPH, API, `${what}, ${ms(step.took)}`, step.status < 400 ? "good" : "bad");
}

function describe(claims, left) {
  const proof = [claims.amr && `amr ${claims.amr.join(" ")}`, claims.xms_cc && `xms_cc ${claims.xms_cc.join(" ")}`];
  return [
    `Valid: ${claims.name}`,
    `aud ${claims.aud}`,
    `scp ${claims.scp}, exp in ${Math.floor(left / 60)} min`,
    proof.filter(Boolean).join(", "),
  ].filter(Boolean);
}

export function rowsOf(run) {
  return run.steps.flatMap((step) => ROWS[step.kind](step, run.claims).map((row) => ({ ...row, time: step.at })));
}

export function headline(run) {
  const kinds = run.steps.map((step) => step.kind);
  const exchanges = kinds.filter((kind) => kind === "exchange").length;
  const hits = kinds.filter((kind) => kind === "hit").length;
  const answer = run.steps.at(-1);
  const counted = [
    [kinds.includes("keys") ? 1 : 0, "look at the keys"],
    [exchanges, exchanges === 1 ? "exchange" : "exchanges"],
    [hits, hits === 1 ? "cache hit" : "cache hits"],
  ].filter(([count]) => count);
  const middle = counted.map(([count, word]) => `${count} ${word}`).join(", ") || "turned away at the door";
  return `${answer.status} · ${middle} · ${ms(answer.took)}`;
}

export const inWords = (row) =>
  row.lines ? `${LANES[row.at]}: ${row.lines.join(", ")}` : `${LANES[row.from]} → ${LANES[row.to]}: ${row.text}`;
