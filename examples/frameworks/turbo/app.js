// Turbo does the rest. A form that is open for editing is not morphed, for its text is the person's, but by the answer to what it sent.
import '../who.js';

import '@hotwired/turbo';

let sent = null;
document.addEventListener('turbo:submit-start', ({ target }) => (sent = target));
document.addEventListener('turbo:render', () => (sent = null));
document.addEventListener('turbo:before-morph-element', (event) => {
  if (event.target !== sent && event.target.matches?.('form[data-form-lock="open"]')) event.preventDefault();
});
