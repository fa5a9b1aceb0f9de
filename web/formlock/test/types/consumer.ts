// A program of somebody else, in strict TypeScript: it must compile against the declarations that are made from our comments.
import { CallError, FormLockClient, PageTab, escape, type FormLock } from 'formlock/client';

const client = new FormLockClient({ url: 'wss://example.com/ws', tokenUrl: '/token', tab: new PageTab() });
const lock: FormLock = client.form(`com.example.form.invoice.${escape('42')}`);

export async function edit(signal: AbortSignal): Promise<string> {
  client.start();
  try {
    await lock.lock({ wait: true, note: 'correcting the total', signal });
  } catch (error) {
    if (error instanceof CallError && error.code === 'form_locked') return lock.state.snapshot?.holder?.name ?? 'somebody';
    throw error;
  }
  const token: number | null = lock.token;
  const { moved } = await lock.handOver({ amount: '140' });
  const told: boolean = await lock.done();
  return `${token} ${moved} ${told}`;
}

export async function watch(signal: AbortSignal): Promise<void> {
  for await (const state of lock.states({ signal })) {
    if (state.name === 'queued') console.log(state.place);
    // @ts-expect-error there is no such state
    if (state.name === 'sleeping') console.log('never');
  }
}

export async function others(): Promise<void> {
  const { free, answerInMs } = await lock.ask({ note: 'month end' });
  const ms: number | null = answerInMs;
  await lock.takeover({ reason: free ? '' : String(ms) });
  await lock.answer('keep', { keepMs: 60_000 });
  // @ts-expect-error an answer is one of two words
  await lock.answer('perhaps');
  const names: string[] = (await lock.drafts()).map((draft) => draft.name);
  lock.claim = async ({ token, receipt }) => console.log(token, receipt, names);
}
