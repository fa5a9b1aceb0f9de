// The hidden field that carries the version of the record that the form was made from (`version-field`).

/** @param {HTMLFormElement} form @returns {HTMLInputElement | null} */
function versionField(form) {
  const name = form.getAttribute('version-field');
  const field = name === null ? null : form.elements.namedItem(name);
  return field instanceof HTMLInputElement ? field : null;
}

/** @param {HTMLFormElement} form @returns {string | null} */
export function versionOf(form) {
  return versionField(form)?.value ?? null;
}

/** @param {HTMLFormElement} form @param {string | number} version @param {import('./values.js').Values | null} base the record, which has it too */
export function setVersion(form, version, base) {
  const field = versionField(form);
  if (!field) return;
  field.value = String(version);
  if (base) base[field.name] = field.value;
}
