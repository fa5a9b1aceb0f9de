// Pushes one update and shows the bridge's answer: node push.mjs com.example.form.invoice.42 '{"amount": ["120.00", "140.00"]}'

import process from 'node:process';

import { ReliablePusher } from './reliable-pusher.mjs';

const [, , form = 'com.example.form.invoice.42', changeSet = '{"amount": ["120.00", "140.00"]}'] = process.argv;
const pusher = new ReliablePusher(process.env.FORMLOCK_ACKNOWLEDGED || 'tcp://127.0.0.1:5556', { source: 'node-example' });
const answer = await pusher.push({ form, change_set: JSON.parse(changeSet) });
console.log(JSON.stringify(answer));
pusher.close();
process.exitCode = answer.error ? 1 : 0;
