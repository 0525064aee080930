// Where the provider sends its answers. MSAL.js takes them on to the page, or to the window that waits for them.
msalRedirectBridge.broadcastResponseToMainFrame().catch(() => location.replace("/"));
