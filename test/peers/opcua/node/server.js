// An OPC UA server for tests, on node-opcua: server.js PORT DIR SHIFT HOST ITEMS PERIOD STRICT LIMIT.
//
// DIR holds its certificate (server.pem, server.key). SHIFT other namespaces come before
// ours. HOST is the name by which it tells its endpoints. ITEMS variables are below Many,
// and all that change do so each PERIOD ms. With STRICT true it trusts no client. It takes
// LIMIT nodes in a request, 0: as many as it does. The address space is the one that the
// package test/opcuapeer describes.
"use strict";

const path = require("path");
const {
  AccessLevelFlag,
  DataType,
  MessageSecurityMode,
  OPCUACertificateManager,
  OPCUAServer,
  Range,
  SecurityPolicy,
  StatusCodes,
  VariantArrayType,
  makeAccessLevelFlag,
} = require("node-opcua");

const [port, dir, shift, host, items, period, strict, limit] = process.argv.slice(2);

async function main() {
  const certificates = (name) =>
    new OPCUACertificateManager({ rootFolder: path.join(dir, name), automaticallyAcceptUnknownCertificate: strict !== "true" });
  const [serverCertificateManager, userCertificateManager] = [certificates("pki"), certificates("users")];
  await Promise.all([serverCertificateManager.initialize(), userCertificateManager.initialize()]);
  const operationLimits = {};
  if (Number(limit) > 0) {
    for (const key of ["maxNodesPerRead", "maxNodesPerBrowse", "maxNodesPerMethodCall", "maxNodesPerHistoryReadData", "maxMonitoredItemsPerCall"])
      operationLimits[key] = Number(limit);
  }
  const server = new OPCUAServer({
    port: Number(port),
    host: "127.0.0.1",
    hostname: host,
    resourcePath: "/plant",
    allowAnonymous: true,
    securityPolicies: [
      SecurityPolicy.None,
      SecurityPolicy.Basic256Sha256,
      SecurityPolicy.Aes128_Sha256_RsaOaep,
      SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
    certificateFile: path.join(dir, "server.pem"),
    privateKeyFile: path.join(dir, "server.key"),
    serverCertificateManager,
    userCertificateManager,
    serverCapabilities: { operationLimits },
    serverInfo: { applicationUri: "urn:busbar:test:server", productUri: "urn:busbar:test" },
    userManager: { isValidUser: (name, password) => name === "operator" && password === "correct horse" },
  });
  await server.initialize();

  const space = server.engine.addressSpace;
  for (let i = 0; i < Number(shift); i++) space.registerNamespace(`urn:busbar:test:other:${i}`);
  const ns = space.registerNamespace("urn:busbar:test:plant");
  const objects = space.rootFolder.objects;
  const t1 = ns.addObject({ organizedBy: objects, browseName: "T1", nodeId: "s=T1", eventNotifier: 1 });

  const variable = (name, dataType, value, more = {}) => {
    const v = ns.addVariable({ componentOf: t1, browseName: name, nodeId: `s=T1.${name}`, dataType, minimumSamplingInterval: 0, ...more });
    v.setValueFromSource({ dataType: more.structure ? DataType.ExtensionObject : dataType, value, ...more.variant });
    return v;
  };
  const history = {
    accessLevel: makeAccessLevelFlag("CurrentRead | HistoryRead"),
    historizing: true,
  };
  const oil = variable("TopOil", DataType.Double, 60, history);
  const load = variable("Load", DataType.Double, 0.5);
  const counter = variable("Counter", DataType.UInt32, 0, history);
  for (const v of [oil, counter]) space.installHistoricalDataNode(v, { maxOnlineValues: 100000 });
  variable("Alarm", DataType.Boolean, true);
  variable("Name", DataType.String, "Transformer 1");
  variable("Energy", DataType.Int64, [0x200000, 1], { variant: { arrayType: VariantArrayType.Scalar } });
  variable("Bad", DataType.Double, 1).setValueFromSource({ dataType: DataType.Double, value: 1 }, StatusCodes.BadSensorFailure);
  variable("Harmonics", DataType.Double, [1, 0, 0.05, 0, 0.03], { valueRank: 1, variant: { arrayType: VariantArrayType.Array } });
  variable("Range", "Range", new Range({ low: -20, high: 140 }), { structure: true });
  variable("Setpoint", DataType.Double, 80, {
    accessLevel: AccessLevelFlag.CurrentRead | AccessLevelFlag.CurrentWrite,
    userAccessLevel: AccessLevelFlag.CurrentRead | AccessLevelFlag.CurrentWrite,
  });

  const many = ns.addObject({ organizedBy: objects, browseName: "Many", nodeId: "s=Many" });
  const changing = [];
  for (let i = 0; i < Number(items); i++) {
    const v = ns.addVariable({ componentOf: many, browseName: `Many${i}`, nodeId: `s=Many.${i}`, dataType: DataType.Double, minimumSamplingInterval: 0 });
    v.setValueFromSource({ dataType: DataType.Double, value: i });
    changing.push(v);
  }

  const tank = ns.addObject({ organizedBy: objects, browseName: "Tank", nodeId: "s=Tank", eventNotifier: 1, eventSourceOf: space.rootFolder.objects.server });
  space.installAlarmsAndConditionsService();
  const writable = { accessLevel: makeAccessLevelFlag("CurrentRead | CurrentWrite"), userAccessLevel: makeAccessLevelFlag("CurrentRead | CurrentWrite") };
  const tankLevel = ns.addVariable({ componentOf: tank, browseName: "Level", nodeId: "s=Tank.Level", dataType: DataType.Double, eventSourceOf: tank, ...writable });
  tankLevel.setValueFromSource({ dataType: DataType.Double, value: 50 });
  ns.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
    browseName: "Limits",
    nodeId: "s=Tank.Limits",
    componentOf: tank,
    conditionName: "Limits",
    conditionSource: tank,
    inputNode: tankLevel,
    highHighLimit: 95,
    highLimit: 80,
    lowLimit: 20,
    lowLowLimit: 5,
    optionals: ["ActiveState.TransitionTime"],
  });

  const double = (name) => ({ name, dataType: DataType.Double });
  ns.addMethod(t1, { browseName: "Add", nodeId: "s=T1.Add", inputArguments: [double("a"), double("b")], outputArguments: [double("sum")] }).bindMethod(
    (inputs, _context, done) =>
      done(null, {
        statusCode: StatusCodes.Good,
        outputArguments: [{ dataType: DataType.Double, value: inputs[0].value + inputs[1].value }],
      }),
  );
  let grown = 0;
  ns.addMethod(t1, { browseName: "Grow", nodeId: "s=T1.Grow", inputArguments: [], outputArguments: [{ name: "count", dataType: DataType.UInt32 }] }).bindMethod(
    (_inputs, _context, done) => {
      variable(`Grown${grown}`, DataType.Double, grown);
      grown++;
      done(null, { statusCode: StatusCodes.Good, outputArguments: [{ dataType: DataType.UInt32, value: grown }] });
    },
  );

  const valve = ns.addVariable({ componentOf: tank, browseName: "Valve", nodeId: "s=Tank.Valve", dataType: DataType.Boolean });
  valve.setValueFromSource({ dataType: DataType.Boolean, value: false });
  const method = (name, inputArguments, act) =>
    ns.addMethod(tank, { browseName: name, nodeId: `s=Tank.${name}`, inputArguments, outputArguments: [] }).bindMethod((inputs, _context, done) =>
      done(null, { statusCode: act(inputs) ?? StatusCodes.Good, outputArguments: [] }),
    );
  method("SetLevel", [{ name: "level", dataType: DataType.Float }], ([level]) => {
    if (level.value > 100) return StatusCodes.BadOutOfRange;
    tankLevel.setValueFromSource({ dataType: DataType.Double, value: level.value });
  });
  method("Open", [], () => valve.setValueFromSource({ dataType: DataType.Boolean, value: true }));
  method("Shut", [], () => valve.setValueFromSource({ dataType: DataType.Boolean, value: false }));
  method("Trip", [{ name: "message", dataType: DataType.String }], ([message]) =>
    tank.raiseEvent("BaseEventType", {
      message: { dataType: DataType.LocalizedText, value: { text: message.value } },
      severity: { dataType: DataType.UInt16, value: 800 },
    }),
  );

  await server.start();
  let n = 0;
  setInterval(() => {
    n++;
    oil.setValueFromSource({ dataType: DataType.Double, value: 60 + 10 * Math.sin(n / 10) });
    load.setValueFromSource({ dataType: DataType.Double, value: 0.5 + 0.1 * Math.sin(n / 7) });
    counter.setValueFromSource({ dataType: DataType.UInt32, value: n });
    changing.forEach((v, i) => v.setValueFromSource({ dataType: DataType.Double, value: i + n }));
  }, Number(period));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
