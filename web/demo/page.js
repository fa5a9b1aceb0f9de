// The demo page's own script: who you are here, and a Save that is honest about having no database.

const PEOPLE = { ann: 'Ann Weber', bob: 'Bob Novak', eva: 'Eva Lind' };
const KEY = 'demo.user';

/** @param {string | null} user @returns {user is keyof typeof PEOPLE} */
const known = (user) => user !== null && Object.hasOwn(PEOPLE, user);

// This script stands before the form lock's own: the meta elements are read when that one starts.
const wanted = new URLSearchParams(location.search).get('user');
const remembered = sessionStorage.getItem(KEY);
const user = known(wanted) ? wanted : known(remembered) ? remembered : 'ann';
sessionStorage.setItem(KEY, user);
document.querySelector('meta[name="form-lock-user"]')?.setAttribute('content', user);
document.querySelector('meta[name="form-lock-name"]')?.setAttribute('content', PEOPLE[user]);

const chooser = /** @type {HTMLSelectElement} */ (document.getElementById('who'));
chooser.value = user;
chooser.addEventListener('change', () => {
  sessionStorage.setItem(KEY, chooser.value);
  location.assign(`/?user=${chooser.value}`);
});

const second = /** @type {HTMLAnchorElement} */ (document.getElementById('second'));
const other = user === 'bob' ? 'ann' : 'bob';
second.href = `/?user=${other}`;
second.textContent = `Open as ${PEOPLE[other].split(' ')[0]} in a second window`;

document.addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  const { bindingOf } = await import(new URL('/formlock/formlock.js', location.href).href);
  const binding = bindingOf(form);
  binding?.saved();
  binding?.done();
  const said = form.querySelector('.said');
  if (said) said.textContent = 'Released. Nothing is stored: this page has no database.';
});
document.addEventListener('formlock:mine', (event) => {
  const said = /** @type {HTMLElement} */ (event.target).querySelector('.said');
  if (said) said.textContent = '';
});
