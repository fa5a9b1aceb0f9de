// Loaded when a form that may have a draft is on the page: keeps unsaved text, and offers it again.
import { defineDraftOffer } from './draft-offer.js';

export { DraftKeeper, forgetDrafts } from './drafts.js';
export { speak } from './texts-merge.js';

defineDraftOffer();
