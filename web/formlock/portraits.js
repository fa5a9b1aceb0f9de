// Pictures of people, where the page has some: `<meta name="form-lock-picture" content="/avatars/{user}.png">`. Without one, and where one can't
// be shown, initials say who it is.

/** In the banner: the picture lies on the initials, which stay until it is there. */
export const STYLE = `
[part="picture"], [part="viewer"] { position: relative; overflow: hidden; }
img { position: absolute; inset: 0; inline-size: 100%; block-size: 100%; object-fit: cover; }
img:not([data-shown]) { opacity: 0; }
:has(> img[data-shown]) { color: transparent !important; }
`;

/** Where the page has a picture of somebody; null if it has none of anybody. @param {string | undefined} user @returns {string | null} */
export function addressOf(user) {
  const template = document.querySelector('meta[name="form-lock-picture"]')?.getAttribute('content');
  return user && template ? template.replaceAll('{user}', encodeURIComponent(user)) : null;
}

/** One that takes itself away when it can't be shown. The name stands beside it, so it says nothing itself. @param {string | undefined} user @returns {HTMLImageElement | null} */
export function portrait(user) {
  const address = addressOf(user);
  if (address === null) return null;
  const picture = document.createElement('img');
  picture.alt = '';
  picture.decoding = 'async';
  picture.addEventListener('load', () => picture.setAttribute('data-shown', ''), { once: true });
  picture.addEventListener('error', () => picture.remove(), { once: true });
  picture.src = address;
  return picture;
}

/** Lays the picture of somebody on the initials. Only what has changed is written. @param {Element | null | undefined} place @param {string | undefined} user */
export function portray(place, user) {
  if (!place) return;
  const address = addressOf(user) ?? '';
  if (place.getAttribute('data-picture') === address && (place.querySelector('img') || !address)) return;
  place.querySelector('img')?.remove();
  place.setAttribute('data-picture', address);
  const picture = portrait(user);
  if (picture) place.append(picture);
}
