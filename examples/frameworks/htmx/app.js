// htmx does the rest by attributes; the form is never morphed while somebody edits it (`morphSkip` in the page's head).
import '../who.js';

import 'htmx.org';
