// Loaded when somebody edits or something was saved elsewhere: claims, updates, merging, and the choice between two changes of a field.
import { defineChoices } from './conflicts.js';

export { claim } from './claim.js';
export { Follower } from './follow.js';
export { TEXTS, speak } from './texts-merge.js';

defineChoices();
