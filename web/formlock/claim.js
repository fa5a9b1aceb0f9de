// Claims a grant in the application: its `claim-url` gets the receipt, and answers with the contents that it read behind the claim.
//
// Why at all, and what the application does with it: docs/explanation/late-saves.md.
import { sameForm } from './sanitise.js';
import { valuesIn } from './values.js';

const LIMIT_MS = 8000;
/** After these answers the same claim may succeed in a moment. */
const RETRY = new Set([429, 502, 503, 504]);
const WAITS_MS = [300, 1000];

/**
 * The form's hidden fields travel along, for the application's own protection against forged requests and for the record's version.
 * @param {HTMLFormElement} form @param {Map<string, string>} proof token and receipt, by field name @param {AbortSignal} signal
 * @returns {Promise<Record<string, unknown> | null>} values by field name, or null: what the form shows is current
 */
export async function claim(form, proof, signal) {
  const url = new URL(form.getAttribute('claim-url') ?? '', form.ownerDocument.baseURI);
  for (let attempt = 0; ; attempt += 1) {
    const response = await post(url, bodyOf(form, proof), signal);
    if (response?.status === 204) return null;
    if (response?.ok) return values(response, form);
    const wait = WAITS_MS[attempt];
    if (wait === undefined || (response && !RETRY.has(response.status))) throw new Error(`the application answered ${response?.status ?? 'nothing'}`);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** @param {HTMLFormElement} form @param {Map<string, string>} proof */
function bodyOf(form, proof) {
  const body = new URLSearchParams([...proof]);
  for (const field of Array.from(form.elements)) {
    if (field instanceof HTMLInputElement && field.type === 'hidden' && field.name && !proof.has(field.name)) body.append(field.name, field.value);
  }
  return body;
}

/** @param {URL} url @param {URLSearchParams} body @param {AbortSignal} signal @returns {Promise<Response | null>} null: no answer */
async function post(url, body, signal) {
  const headers = { accept: 'application/json, text/html' };
  try {
    return await fetch(url, { method: 'POST', body, headers, credentials: 'same-origin', cache: 'no-store', signal: AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]) });
  } catch (error) {
    if (signal.aborted) throw error;
    return null;
  }
}

/** @param {Response} response @param {HTMLFormElement} form @returns {Promise<Record<string, unknown>>} */
async function values(response, form) {
  if (response.headers.get('content-type')?.includes('json')) {
    const answer = await response.json();
    if (answer && typeof answer === 'object' && !Array.isArray(answer)) return answer;
  } else {
    const other = sameForm(new DOMParser().parseFromString(await response.text(), 'text/html'), form); // only read: nothing of it comes into the page
    if (other) return valuesIn(other);
  }
  throw new Error('the application answered with no contents of this form');
}
