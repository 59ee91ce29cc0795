// An edge node of npm's sparkplug-client that does what it is told: each line on stdin is
// one request, each on stdout something that happened. Numbers beyond 2^53 are
// {"long": "text"}, bytes {"base64": "text"}.
'use strict'
const readline = require('readline')
const Long = require('long')
const sparkplug = require('sparkplug-client')
const { Payload } = require('sparkplug-payload/lib/sparkplugPayloadProto').org.eclipse.tahu.protobuf

const tell = (event) => process.stdout.write(JSON.stringify(event, (_, v) => {
  if (v instanceof Long || (v && v.__isLong__)) return { long: Long.fromValue(v).toString() }
  return v
}) + '\n')

const revive = (_, v) => {
  if (v && typeof v === 'object' && 'long' in v) return Long.fromString(v.long, v.long[0] !== '-')
  if (v && typeof v === 'object' && 'base64' in v) return Buffer.from(v.base64, 'base64')
  return v
}

const raw = (payload) => ({
  timestamp: payload.timestamp,
  seq: payload.seq,
  metrics: payload.metrics.map((m) => ({
    name: m.name, alias: Object.hasOwn(m, 'alias') ? m.alias : undefined, datatype: m.datatype, value: m.value ? m[m.value] : null, timestamp: m.timestamp,
    isHistorical: m.isHistorical, isNull: m.isNull
  }))
})

let client

const requests = {
  connect (r) {
    client = sparkplug.newClient({
      serverUrl: r.url, username: '', password: '', groupId: r.group, edgeNode: r.node,
      clientId: r.group + '-' + r.node, publishDeath: true, mqttOptions: { reconnectPeriod: 200 }
    })
    client.on('birth', () => tell({ event: 'birth' }))
    client.on('ncmd', (payload) => tell({ event: 'ncmd', payload }))
    client.on('dcmd', (device, payload) => tell({ event: 'dcmd', device, payload }))
    // Its library reads values only beside their type, which data needn't have: here as
    // they were decoded.
    client.client.on('message', (topic, bytes) => {
      if (topic.split('/')[1] !== r.group) tell({ event: 'message', topic, payload: raw(Payload.decode(bytes)) })
    })
    client.on('close', () => tell({ event: 'close' }))
    client.on('error', (error) => tell({ event: 'error', text: String(error) }))
  },
  session (r) { client.bdSeq = r.bdSeq },
  nbirth (r) { client.publishNodeBirth(r.payload, r.options) },
  ndata (r) { client.publishNodeData(r.payload, r.options) },
  ndeath (r) { client.publishNDeath(client.client) },
  dbirth (r) { client.publishDeviceBirth(r.device, r.payload, r.options) },
  ddata (r) { client.publishDeviceData(r.device, r.payload, r.options) },
  ddeath (r) { client.publishDeviceDeath(r.device, r.payload) },
  // The next message has this number.
  seq (r) { client.seq = r.seq },
  subscribe (r) { client.client.subscribe(r.topic, { qos: 1 }, () => tell({ event: 'subscribed' })) },
  // What its library publishes by no function of its own.
  publish (r) { client.client.publish(r.topic, client.encodePayload(r.payload), { qos: 0 }) },
  stop () { client.stop() }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const r = JSON.parse(line, revive)
  requests[r.do](r)
}).on('close', () => process.exit(0))
