// What a failed call is known by.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CallError } from '../errors.js';

test('a refusal from a part that was bundled by itself keeps its code: whoever is logged out is not taken for offline', () => {
  const Other = class extends Error {
    name = 'CallError';
    code = 'denied';
    facts = {};
  };
  const error = new Other();
  assert.equal(CallError.from(error), error);
  assert.equal(CallError.from(new TypeError('fetch failed')).code, 'closed');
});
