// What of AutobahnJS goes into formlock.js: JSON over WebSocket, calls and subscriptions. All else is cut out when it is bundled.
//
// It brings serializers, crypto, a long-poll transport and polyfills that a browser with JSON over WebSocket never runs; pages may neither
// publish nor register, so the router never answers that; and it is told never to reconnect by itself (connect.js does). In Node, where
// the package is used as it is installed, nothing is cut.
import { readFile } from 'node:fs/promises';

/** Not there at all. `when` must be there but isn't used: connect.js passes `use_deferred`. */
const EMPTY = /^(when|cbor|msgpack5)$/;
/** Its logger would write a warning to the console of a foreign page at every lost connection. */
const LOG = /^\.\.?\/log\.js$/;

/** The entry, without what is for other transports, serializers and ways to log in. */
const ENTRY = `
exports.transports = require('./configure.js').transports;
exports.Connection = require('./connection.js').Connection;
exports.serializer = require('./serializer.js');
`;

/**
 * By file: the functions and blocks that are left without a body, or get another one, by the line that opens them; and whole statements
 * that go.
 * @type {Record<string, {bodies?: (string | [string, string])[], gone?: RegExp[]}>}
 */
const CUTS = {
  'session.js': {
    bodies: [
      ...['publish', 'register', 'unregister', 'prefix', 'log'].map((name) => `Session.prototype.${name} = function `),
      ...['PUBLISHED', 'PUBLISH_ERROR', 'REGISTERED', 'REGISTER_ERROR', 'UNREGISTERED', 'UNREGISTER_ERROR', 'INVOCATION'].map((name) => `self._process_${name} = function `),
      'var Invocation = function ', 'var Registration = function ', 'Registration.prototype.unregister = function ', 'var Publication = function ',
      // Which features both sides have, which nothing here asks for.
      'if (rf.roles.broker) ', 'if (rf.roles.dealer) ',
      'userPromise.cancel = function',
    ],
    gone: [/^Object\.defineProperty\(Session\.prototype, "(?!id"|isOpen")\w+", \{.*?^\}\);/gms, /^exports\.(?!Session\b)\w+ = .*;$/gm],
  },
  'connection.js': {
    bodies: [
      '_autoreconnect_reset_timer = function ', '_autoreconnect_reset = function ', ['_autoreconnect_advance = function ', 'return { will_retry: false };'],
      'if (self._retry && !stop_retrying) ',
    ],
    gone: [
      /^Object\.defineProperty\(Connection\.prototype, "(?!transport")\w+", \{.*?^\}\);/gms,
      /^ {3}self\._(max_retries|initial_retry_delay|max_retry_delay|retry_delay_growth|retry_delay_jitter|retry_count|retry_delay|retry_timer) = .*;$/gm,
    ],
  },
  'util.js': {
    bodies: [
      ...['_atob', '_btoa', '_btoh', '_htob'].map((name) => `function ${name} `),
      ...['rand_normal', 'is_object', 'assert', 'http_post', 'http_get_json', 'defaults', 'new_global_id', 'promise'].map((name) => `let ${name} = function`),
      'async function sleep ', 'async function read_file ', ['let deferred_factory = function', 'return options.use_deferred;'],
    ],
    gone: [/^exports\.(?!handle_error|deferred_factory|as_promise)\w+ = .*$/gm, /^if \('fs' in global\) \{.*?^\} else \{.*?^\}/gms],
  },
  'serializer.js': { gone: [/^try \{\n {3}\/\/ https?:.*?^\} catch \(e\) \{.*?^\}/gms] },
  'websocket.js': { bodies: ['if (serializer.MsgpackSerializer) '] },
  'configure.js': { gone: [/^var (longpoll|rawsocket) = .*$/gm, /^_transports\.register\("(longpoll|rawsocket)".*$/gm] },
};

/** Checks of arguments that tsc has checked, and the log. */
const STATEMENTS = /^\s*(util\.assert|log\.debug|log\.warn)\(.*\);$/gm;

/** @type {import('esbuild').Plugin} */
export const autobahnParts = {
  name: 'autobahn-parts',
  setup(api) {
    api.onResolve({ filter: EMPTY }, ({ path }) => ({ path, namespace: 'none' }));
    api.onResolve({ filter: LOG }, ({ path, importer }) => (importer.includes('/autobahn/') ? { path, namespace: 'none' } : undefined));
    api.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: '' }));
    api.onLoad({ filter: /\/autobahn\/lib\/.*\.js$/ }, async ({ path }) => {
      if (path.endsWith('/autobahn.js')) return { contents: ENTRY };
      const contents = await readFile(path, 'utf8');
      const { bodies = [], gone = [] } = CUTS[path.split('/').at(-1)] ?? {};
      return { contents: bodies.reduce(emptied, gone.reduce(without, contents).replace(STATEMENTS, '')) };
    });
  },
};

/** @param {string} contents @param {RegExp} statements @returns {string} */
function without(contents, statements) {
  const shorter = contents.replace(statements, '');
  if (shorter === contents) throw new Error(`AutobahnJS is another one: nothing matches ${statements}`);
  return shorter;
}

/** The body ends where a line is indented as its opening line and begins with a brace. @param {string} contents @param {string | [string, string]} what @returns {string} */
function emptied(contents, what) {
  const [opening, body] = typeof what === 'string' ? [what, ''] : what;
  const at = contents.indexOf(opening);
  const line = contents.lastIndexOf('\n', at) + 1;
  const indent = /^\s*/.exec(contents.slice(line))?.[0] ?? '';
  const from = contents.indexOf('{\n', at) + 1;
  const to = contents.indexOf(`\n${indent}}`, from);
  if (at < 0 || from < 1 || to < 0) throw new Error(`AutobahnJS is another one: it has no "${opening}"`);
  return `${contents.slice(0, from)}${body}${contents.slice(to)}`;
}
