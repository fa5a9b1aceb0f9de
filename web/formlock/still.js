// Nothing moves under a typing hand.
import { isPart } from './fields.js';

/**
 * When what stands above the form grows or shrinks, the page is scrolled by as much.
 * @param {HTMLFormElement} form @returns {() => void} to be called when it has been written
 */
export function holdStill(form) {
  const field = form.ownerDocument.activeElement;
  if (!field || !isPart(form, field)) return () => {};
  const top = field.getBoundingClientRect().top;
  return () => {
    const moved = field.getBoundingClientRect().top - top;
    if (moved !== 0) scrollBy({ top: moved, behavior: 'instant' });
  };
}
