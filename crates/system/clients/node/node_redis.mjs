// node-redis against a server: `node_redis.mjs plain|shop|locked PORT [PASSWORD]`. Exits non-zero on any unexpected answer.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.BELLWETHER_NODE_MODULES}/`);
const { createClient } = require('redis');

const open = async (port, options = {}) => {
  const client = createClient({ socket: { port: Number(port), host: '127.0.0.1', reconnectStrategy: false }, ...options });
  const errors = [];
  client.on('error', (error) => errors.push(error));
  await client.connect();
  client.errors = errors;
  return client;
};

async function plain(port) {
  for (const options of [{}, { RESP: 2 }]) {
    const db = await open(port, options);
    assert.equal(await db.ping(), 'PONG');
    assert.equal(await db.set('kv:js:a', 'ü1'), 'OK');
    assert.equal(await db.get('kv:js:a'), 'ü1');
    assert.equal(await db.set('kv:js:a', 'x', { condition: 'NX' }), null);
    assert.equal(await db.set('kv:js:a', '2', { expiration: { type: 'EX', value: 100 } }), 'OK');
    const ttl = await db.ttl('kv:js:a');
    assert.ok(ttl > 90 && ttl <= 100, `ttl ${ttl}`);
    assert.equal(await db.ttl('kv:js:none'), -2);
    assert.deepEqual(await db.mGet(['kv:js:a', 'kv:js:none', 'kv:js:a']), ['2', null, '2']);
    assert.equal(await db.exists('kv:js:a'), 1);
    assert.deepEqual(await db.multi().set('kv:js:m', '1').get('kv:js:m').del('kv:js:m').get('kv:js:m').exec(), ['OK', '1', 1, null]);
    // Calls of one tick leave as one pipeline.
    const keys = Array.from({ length: 200 }, (_, i) => `kv:js:${i}`);
    await Promise.all(keys.map((key, i) => db.set(key, String(i))));
    assert.deepEqual(await Promise.all(keys.map((key) => db.get(key))), keys.map((_, i) => String(i)));
    const seen = [];
    for await (const page of db.scanIterator({ MATCH: 'kv:js:*', COUNT: 100 })) seen.push(...page);
    assert.ok(keys.every((key) => seen.includes(key)), `SCAN found ${seen.length}`);
    assert.equal(await db.del(keys), 200);
    await assert.rejects(db.sendCommand(['NOSUCH', 'a']), /unknown command/);
    assert.equal(await db.ping(), 'PONG');
    assert.deepEqual(db.errors, []);
    await db.close();
  }
}

// node-redis's own client cache: another client's write must reach it, and the end of what it keeps.
async function near(port) {
  const cached = createClient({ socket: { port }, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100 } });
  cached.on('error', () => {});
  await cached.connect();
  const far = await open(port);
  const soon = async (key, value) => {
    for (const until = Date.now() + 5000; (await cached.get(key)) !== value;) {
      assert(Date.now() < until, `${key} never became ${value}`);
      await new Promise((done) => setTimeout(done, 2));
    }
  };
  await far.set('kv:js:near', '1');
  await soon('kv:js:near', '1');
  const hits = async () => Number(/keyspace_hits:(\d+)/.exec(await far.info())[1]);
  const asked = await hits();
  for (let n = 0; n < 50; n++) assert.equal(await cached.get('kv:js:near'), '1');
  assert((await hits()) - asked <= 1, 'its own cache answers');
  for (let n = 0; n < 100; n++) {
    await far.set('kv:js:near', String(n));
    await soon('kv:js:near', String(n));
  }
  await far.del('kv:js:near');
  await soon('kv:js:near', null);
  await far.set('kv:js:near', 'short', { PX: 300 });
  await soon('kv:js:near', 'short');
  await new Promise((done) => setTimeout(done, 300));
  await soon('kv:js:near', null);
  await cached.close();
  await far.close();
}

async function shop(port) {
  const db = await open(port);
  assert.equal(JSON.parse(await db.get('product:42')).id, 42);
  assert.deepEqual((await db.mGet(['product:3', 'product:1', 'product:3'])).map((row) => JSON.parse(row).id), [3, 1, 3]);
  assert.equal(await db.get('product:999999999'), null);
  await assert.rejects(db.get('nothing:1'), /^(Simple)?Error: BWNOSPACE|BWNOSPACE/);
  await assert.rejects(db.set('product:1', 'x'), /BWREADONLY/);
  assert.equal(await db.del('product:1'), 1);
  const answers = await db.multi().get('product:5').del('product:5').get('product:5').exec();
  assert.equal(JSON.parse(answers[0]).id, 5);
  assert.equal(answers[1], 1);
  assert.equal(answers[2], answers[0]);
  await db.close();
}

async function locked(port, password) {
  const db = await open(port, { password });
  assert.equal(await db.set('kv:js:locked', '1'), 'OK');
  await db.close();
  await assert.rejects(open(port, { password: 'wrong' }), /WRONGPASS/);
  // Without a password the connection itself is fine or refused, but no command is.
  await assert.rejects(async () => {
    const stranger = await open(port);
    try {
      await stranger.get('kv:js:locked');
    } finally {
      stranger.destroy();
    }
  }, /NOAUTH/);
}

const [kind, port, password] = process.argv.slice(2);
await { plain, near, shop, locked }[kind](port, password);
console.log('fine');
process.exit(0);
