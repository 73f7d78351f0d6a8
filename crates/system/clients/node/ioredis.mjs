// ioredis against a server: `ioredis.mjs plain|shop|locked PORT [PASSWORD]`. Exits non-zero on any unexpected answer.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.BELLWETHER_NODE_MODULES}/`);
const { Redis } = require('ioredis');

const open = (port, options = {}) => {
  const client = new Redis({ port: Number(port), host: '127.0.0.1', maxRetriesPerRequest: 0, retryStrategy: () => null, ...options });
  // Failures are seen in the commands' own promises.
  client.on('error', () => {});
  return client;
};

async function plain(port) {
  const db = open(port);
  assert.equal(await db.ping(), 'PONG');
  assert.equal(db.status, 'ready', 'its ready check reads INFO');
  assert.equal(await db.set('kv:io:a', 'ü1'), 'OK');
  assert.equal(await db.get('kv:io:a'), 'ü1');
  assert.deepEqual(await db.getBuffer('kv:io:a'), Buffer.from('ü1'));
  assert.equal(await db.set('kv:io:a', 'x', 'NX'), null);
  assert.equal(await db.set('kv:io:a', '2', 'PX', 100_000), 'OK');
  const ttl = await db.pttl('kv:io:a');
  assert.ok(ttl > 90_000 && ttl <= 100_000, `pttl ${ttl}`);
  assert.deepEqual(await db.mget('kv:io:a', 'kv:io:none', 'kv:io:a'), ['2', null, '2']);
  const keys = Array.from({ length: 200 }, (_, i) => `kv:io:${i}`);
  const pipeline = db.pipeline();
  keys.forEach((key, i) => pipeline.set(key, i).get(key));
  const answers = await pipeline.exec();
  assert.ok(answers.every(([error]) => error === null));
  assert.deepEqual(answers.filter((_, i) => i % 2).map(([, value]) => value), keys.map((_, i) => String(i)));
  const batch = await db.multi().set('kv:io:m', '1').get('kv:io:m').del('kv:io:m').get('kv:io:m').exec();
  assert.deepEqual(batch, [[null, 'OK'], [null, '1'], [null, 1], [null, null]]);
  const seen = [];
  for await (const page of db.scanStream({ match: 'kv:io:*', count: 100 })) seen.push(...page);
  assert.ok(keys.every((key) => seen.includes(key)), `SCAN found ${seen.length}`);
  assert.equal(await db.unlink(keys), 200);
  await assert.rejects(db.call('NOSUCH', 'a'), /unknown command/);
  assert.match(await db.info(), /redis_version:\d/);
  const named = open(port, { connectionName: 'tester' });
  assert.equal(await named.client('GETNAME'), 'tester');
  assert.equal(await named.quit(), 'OK');
  assert.equal(await db.quit(), 'OK');
}

async function shop(port) {
  const db = open(port);
  assert.equal(JSON.parse(await db.get('product:42')).id, 42);
  assert.deepEqual((await db.mget('product:3', 'product:1', 'product:3')).map((row) => JSON.parse(row).id), [3, 1, 3]);
  assert.equal(await db.get('product:999999999'), null);
  await assert.rejects(db.get('nothing:1'), /^ReplyError: BWNOSPACE/);
  await assert.rejects(db.set('product:1', 'x'), /^ReplyError: BWREADONLY/);
  assert.equal(await db.del('product:1'), 1);
  const [value, why, age, token] = await db.call('BW.GET', 'product:42');
  assert.equal(JSON.parse(value).id, 42);
  assert.equal(why, 'hit');
  assert.ok(age >= 0);
  assert.equal(token, null);
  await db.quit();
}

async function locked(port, password) {
  const db = open(port, { password });
  assert.equal(await db.set('kv:io:locked', '1'), 'OK');
  await db.quit();
  for (const wrong of [undefined, 'wrong']) {
    const stranger = open(port, { password: wrong });
    await assert.rejects(stranger.get('kv:io:locked'), `password ${wrong} was let in`);
    stranger.disconnect();
  }
}

const [kind, port, password] = process.argv.slice(2);
await { plain, shop, locked }[kind](port, password);
console.log('fine');
process.exit(0);
