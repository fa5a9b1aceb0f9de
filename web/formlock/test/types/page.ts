// As consumer.ts, for a page with the elements, and for lists.
import { bindingOf, pageClient, texts, useEditor } from 'formlock';
import { unescape } from 'formlock/escape';
import { FormLockList } from 'formlock/list';

const form = document.forms[0]!;

export function saved(version: number): boolean {
  const binding = bindingOf(form);
  binding?.saved({ submitted: true, version });
  // @ts-expect-error a version is a number or a text
  binding?.saved({ version: true });
  if (binding && !binding.dirty) binding.done();
  return binding?.lock.editing ?? false;
}

export function invoices(): FormLockList {
  const list = new FormLockList(pageClient(), 'invoice');
  list.addEventListener('change', () => console.log([...list.forms].map(([topic, { holder }]) => `${unescape(topic)} ${holder?.name}`)));
  return list;
}

texts({ free: 'Nobody has this invoice open.' });
useEditor(form, { shut() {}, open() {} });
