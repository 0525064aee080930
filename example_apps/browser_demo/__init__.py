"""A single-page app that shows the on-behalf-of flow: MSAL.js in the browser, everything else on this machine."""
