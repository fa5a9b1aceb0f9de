// Loaded when a page has a badge.
export { defineBadge } from './badge.js';
