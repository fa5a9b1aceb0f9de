// Loaded when somebody else has the form, or wants it: what the banner says and offers then.
import { defineSay } from './say.js';

export { Face } from './face.js';

defineSay();
