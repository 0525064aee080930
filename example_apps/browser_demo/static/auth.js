// Sign-in with MSAL.js. No token is kept, decoded or shown here: MSAL.js keeps them, and client.js sends them.

const { PublicClientApplication, InteractionRequiredAuthError } = msal;

const METADATA = "provider-metadata";
const AWAY = /endpoints_resolution_error|openid_config_error|network_error|temporarily_unavailable/;

export async function makeAuth(config) {
  const kept = sessionStorage.getItem(METADATA);
  const app = new PublicClientApplication({
    auth: {
      clientId: config.clientId,
      authority: config.authority,
      // An authority that is not one of Microsoft's own clouds has to be named.
      knownAuthorities: [new URL(config.authority).host],
      redirectUri: `${location.origin}/redirect`,
      postLogoutRedirectUri: `${location.origin}/`,
      // "This client answers claims challenges": the token says so to the API, as xms_cc.
      clientCapabilities: ["CP1"],
      // MSAL.js asks for this at each start. From here, a reload works while the provider is away.
      authorityMetadata: kept ?? "",
    },
    // Gone with the tab.
    cache: { cacheLocation: "sessionStorage" },
  });
  await app.initialize();
  if (!kept) await keepMetadata(config.authority);
  const answer = await app.handleRedirectPromise();
  if (answer?.account) app.setActiveAccount(answer.account);
  return new Auth(app, config);
}

async function keepMetadata(authority) {
  const response = await fetch(`${authority}/v2.0/.well-known/openid-configuration`).catch(() => null);
  if (response?.ok) sessionStorage.setItem(METADATA, await response.text());
}

// Says what an error of MSAL.js means to the user.
export function explain(error) {
  const away = AWAY.test(error.errorCode ?? "") || AWAY.test(error.message);
  return away ? "Entra is not available now. Try again in a moment." : error.message;
}

class Auth {
  constructor(app, config) {
    this.app = app;
    this.scopes = config.scopes;
    this.authority = config.authority;
  }

  get account() {
    return this.app.getActiveAccount() ?? this.app.getAllAccounts()[0] ?? null;
  }

  signIn() {
    return this.app.loginRedirect({ scopes: this.scopes, prompt: "select_account" });
  }

  signOut() {
    return this.app.logoutRedirect({ account: this.account });
  }

  // Returns a token for the API: from MSAL's cache, by the refresh token, or after a visit to the provider's page.
  // `claims` is what a challenge asks for, `fresh` asks for a token that is not the one at hand.
  async token({ claims, fresh = false } = {}) {
    const request = { scopes: this.scopes, account: this.account, claims, forceRefresh: fresh };
    try {
      return (await this.app.acquireTokenSilent(request)).accessToken;
    } catch (error) {
      if (!(error instanceof InteractionRequiredAuthError)) throw error;
      await this.app.acquireTokenRedirect({ scopes: this.scopes, account: this.account, claims });
      return new Promise(() => {}); // the browser is leaving
    }
  }
}
