// Turbo does the rest. A form that is open for editing is not morphed: its text is the person's, not the server's.
import '../who.js';

import * as Turbo from '@hotwired/turbo';

document.addEventListener('turbo:before-morph-element', (event) => {
  if (event.target instanceof Element && event.target.matches('form[data-form-lock="open"]')) event.preventDefault();
});
// Its bar is styled by a style element, which a strict security policy refuses.
Turbo.config.drive.progressBarDelay = 60_000;
