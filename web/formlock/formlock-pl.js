// The words of the elements in another language: loaded when the page speaks it.
export { default } from './texts/pl.js';
