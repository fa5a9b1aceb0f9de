// The page's one client: who and where it is comes from the page's meta elements, and the page's comings and goings are told to it.
import { FormLockClient } from './client.js';
import { PageTab } from './page-tab.js';
import { plainLine } from './plain-line.js';
import { DEFAULT_PREFIX } from './uris.js';

/** @type {FormLockClient | null} */
let shared = null;

/** Made when first asked for (a page without forms never connects): scripts that run before may still set the meta elements. @returns {FormLockClient} */
export function pageClient() {
  if (shared) return shared;
  const tab = new PageTab(undefined, meta('form-lock-user') ?? '');
  const client = new FormLockClient({ url: routerUrl(), prefix: meta('form-lock-prefix') ?? DEFAULT_PREFIX, tab, identity: () => identity(tab), token: meta('form-lock-token') ?? undefined, tokenUrl: tokenUrl() });
  shared = client;
  // Never `beforeunload`: it may be cancelled, and it keeps pages out of the back/forward cache.
  addEventListener('pagehide', () => {
    sayGoodbye(client);
    client.leave();
  });
  addEventListener('pageshow', (event) => {
    if (event.persisted) client.comeBack();
  });
  addEventListener('offline', () => client.offline());
  addEventListener('online', () => client.online());
  // Whatever wakes the page first looks at the clock before anything else happens.
  document.addEventListener('visibilitychange', () => client.tick());
  document.addEventListener('resume', () => client.tick());
  client.start();
  if (!navigator.onLine) queueMicrotask(() => client.offline());
  return client;
}

/**
 * What is held is given back by a request that outlives the page, too: the connection may be away, and Firefox mostly closes it before what
 * is said on it is out. The receipt says whose it is, and the sessions which page's: the next page of the tab may have the form before
 * this arrives (docs/reference/http.md).
 * @param {FormLockClient} client
 */
function sayGoodbye({ locks, options, sessions }) {
  const given = meta('form-lock-unlock-url');
  const url = given ? new URL(given, document.baseURI) : new URL('/formlock/unlock', options.url);
  url.protocol = url.protocol.replace(/^ws/, 'http');
  for (const { form, receipt } of locks) {
    if (!receipt) continue;
    const body = JSON.stringify({ form, receipt, leaving: true, sessions: sessions.map(Number) });
    // A tab that is closed in Firefox takes some of either kind with it, seldom both; said twice, it changes nothing.
    navigator.sendBeacon(url, body);
    fetch(url, { method: 'POST', body, keepalive: true, mode: 'no-cors' }).catch(() => {});
  }
}

/** How the page was reached, for Tab.wasEditing. */
export function arrival() {
  const [entry] = performance.getEntriesByType('navigation');
  return { type: /** @type {PerformanceNavigationTiming | undefined} */ (entry)?.type ?? 'navigate', referrer: document.referrer, at: Date.now() };
}

/** @param {string} name @returns {string | null} */
function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute('content') || null;
}

/** @param {PageTab} tab */
function identity(tab) {
  const user = meta('form-lock-user');
  return user ? { user, name: plainLine(meta('form-lock-name') ?? '', 100) || user } : tab.guest();
}

/** Where the application gives out tokens; absolute, for the page may change its base. */
function tokenUrl() {
  const url = meta('form-lock-token-url');
  return url ? new URL(url, document.baseURI).href : undefined;
}

/** The host that served this script, unless the page says otherwise. */
function routerUrl() {
  const url = new URL(meta('form-lock-url') ?? '/ws', meta('form-lock-url') ? document.baseURI : import.meta.url);
  url.protocol = url.protocol.replace(/^http/, 'ws');
  return url.href;
}
