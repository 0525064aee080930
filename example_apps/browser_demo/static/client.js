// Calls the API, and does what its refusals ask for: a new token, new claims, consent, or a little patience.

export class Client {
  // `heard` gets each answer's recording, `say` what is happening in words, `warn` the reason of a wait.
  constructor(auth, { heard, say }) {
    this.auth = auth;
    this.heard = heard;
    this.say = say;
  }

  // Returns the answer's JSON. Each remedy is tried once; only waiting may be repeated.
  async call(path, { method = "GET", headers = {}, fresh = false } = {}) {
    let token = await this.auth.token({ fresh });
    const tried = new Set();
    for (;;) {
      const authorization = { Authorization: `Bearer ${token}` };
      const response = await fetch(path, { method, headers: { ...headers, ...authorization }, cache: "no-store" });
      this.heard(response);
      if (response.ok) return response.status === 204 ? null : response.json();
      const problem = await response.json().catch(() => ({}));
      const remedy = remedyFor(response, problem);
      if (remedy.kind !== "wait" && tried.has(remedy.kind)) throw new Error(problem.title ?? "The API refused.");
      tried.add(remedy.kind);
      token = await this.mend(remedy, problem, token);
    }
  }

  async mend(remedy, problem, token) {
    switch (remedy.kind) {
      case "claims":
        this.say("The API passes on a claims challenge. MSAL.js asks for a token with these claims…");
        return this.auth.token({ claims: remedy.claims });
      case "renew":
        this.say("The API does not take this token. MSAL.js gets a new one…");
        return this.auth.token({ fresh: true });
      case "consent":
        this.say("The API needs your consent. Off to the consent page…");
        return this.askForConsent(remedy.uri);
      case "wait":
        await this.wait(remedy.seconds);
        return token;
      default:
        throw new Error(problem.title ?? "The API refused.");
    }
  }

  async wait(seconds) {
    for (let left = seconds; left > 0; left -= 1) {
      this.say(`Entra is not available, and the API has no token for you yet. Next try in ${left} s.`, "warn");
      await new Promise((done) => setTimeout(done, 1000));
    }
  }

  // The link is the API's own: it must lead to the provider, and comes back to this page.
  askForConsent(link) {
    const uri = new URL(link);
    if (uri.origin !== new URL(this.auth.authority).origin) throw new Error("The consent page is not the provider's.");
    uri.searchParams.set("redirect_uri", `${location.origin}/consented`);
    uri.searchParams.set("login_hint", this.auth.account.username);
    location.assign(uri);
    return new Promise(() => {}); // the browser is leaving
  }
}

// Reads a refusal: RFC 6750 for the status and header, Microsoft's "claims challenge" for claims in base64.
function remedyFor(response, problem) {
  const challenge = response.headers.get("WWW-Authenticate") ?? "";
  const claims = /\bclaims="([^"]+)"/.exec(challenge);
  if (response.status === 401 && claims) return { kind: "claims", claims: atob(claims[1]) };
  if (response.status === 401) return { kind: "renew" };
  if (response.status === 403 && problem.consent_uri) return { kind: "consent", uri: problem.consent_uri };
  if (response.status === 503) return { kind: "wait", seconds: Number(response.headers.get("Retry-After")) || 5 };
  return { kind: "none" };
}
