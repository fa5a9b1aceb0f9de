// As consumer.ts, for React and Stimulus.
import { FormLockController } from 'formlock/stimulus';
import { useFormLock, FormLockContext } from 'formlock/react';
import { FormLockClient } from 'formlock/client';

const client = new FormLockClient({ url: 'wss://example.com/ws' });
FormLockController.client = client;

export function useInvoice(id: string): string {
  const { lock, editing, holder, name, state } = useFormLock(`com.example.form.invoice.${id}`, { client });
  const receipt: string | null = lock.receipt;
  // @ts-expect-error there is no such state
  if (name === 'sleeping') return '';
  return editing ? String(receipt) : (holder ?? `${name} ${state.place}`);
}

export class OwnController extends FormLockController {
  async save(): Promise<void> {
    if (this.lock?.editing) await this.done();
  }
}

export const Provider = FormLockContext.Provider;
