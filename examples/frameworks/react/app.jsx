// An invoice's form in React: the component shows the lock's state itself.
import '../who.js';

import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { FormLockContext, useFormLock } from 'formlock/react';
import { pageClient } from '/formlock/formlock.js';

const FORM = 'com.example.form.invoice.42';

/** A refusal is a state, and is shown as one. */
const quietly = (work) => work.catch((error) => {
  if (error.name !== 'CallError') throw error;
});

function Banner({ name, holder, lock }) {
  switch (name) {
    case 'free':
      return <p className="wide" role="status">Nobody is editing. <button type="button" onClick={() => quietly(lock.lock())}>Edit</button></p>;
    case 'mine':
    case 'asked':
      return <p className="wide" role="status">You are editing. <button type="button" onClick={() => lock.done()}>Done</button></p>;
    case 'locked':
      return <p className="wide" role="status">{holder} is editing. <button type="button" onClick={() => quietly(lock.lock({ wait: true }))}>Wait</button></p>;
    case 'queued':
      return <p className="wide" role="status">{holder} is editing, you are waiting. <button type="button" onClick={() => lock.leaveQueue()}>Leave the line</button></p>;
    default:
      return <p className="wide" role="status">{name}</p>;
  }
}

function Invoice() {
  const view = useFormLock(FORM);
  const [amount, setAmount] = useState('120.00');
  const [sent, setSent] = useState('');
  const { lock, editing, name } = view;

  // Token and receipt go along, so that the application can refuse a late save (docs/explanation/late-saves.md).
  function save(event) {
    event.preventDefault();
    if (!editing) return;
    setSent(JSON.stringify({ amount, form_lock_token: lock.token, form_lock_receipt: lock.receipt }));
    void lock.done();
  }

  return (
    <form className="card" onSubmit={save} data-state={name}>
      <Banner {...view} />
      <label>Amount <input name="amount" value={amount} readOnly={!editing} onChange={(event) => setAmount(event.target.value)} /></label>
      <p className="actions wide"><button type="submit" disabled={!editing}>Save</button> <output>{sent}</output></p>
    </form>
  );
}

function Page() {
  const [open, setOpen] = useState(true);
  return (
    <>
      <h1>Invoice 42</h1>
      {open && <Invoice />}
      <p className="actions"><button type="button" onClick={() => setOpen(!open)}>{open ? 'Close' : 'Open'}</button></p>
    </>
  );
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <FormLockContext value={pageClient()}>
      <Page />
    </FormLockContext>
  </StrictMode>,
);
