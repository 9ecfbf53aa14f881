// A client of the OPC UA server, made of node-opcua: `node opcua.mjs URL WORK`, where WORK is JSON. Prints JSON.
//
// WORK has `folder` (for the client's own certificate), `policy` (a name of node-opcua's SecurityPolicy), `user` with
// `password`, and `steps`: a list of {do: ..., ...} that are carried out one after another. What each gives stands in the
// answer's list `results`; an error stands there as {error: text}.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  AttributeIds,
  BrowseDirection,
  ClientMonitoredItem,
  ClientSubscription,
  MessageSecurityMode,
  NodeClass,
  OPCUAClient,
  SecurityPolicy,
  TimestampsToReturn,
  UserTokenType,
  Variant,
  constructEventFilter,
  resolveNodeId,
} from "node-opcua-client";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";

const [url, text] = process.argv.slice(2);
const work = JSON.parse(text);

function plain(value) {
  // Structures, node ids, localized texts and 64-bit numbers as JSON can hold them.
  return JSON.parse(JSON.stringify(value ?? null, (key, each) => (typeof each === "bigint" ? String(each) : each)));
}

const certificates = new OPCUACertificateManager({
  rootFolder: join(work.folder, "pki"),
  automaticallyAcceptUnknownCertificate: true,
});
await certificates.initialize();
const none = work.policy === "None";
const client = OPCUAClient.create({
  applicationName: "edge-inspect-test",
  clientCertificateManager: certificates,
  connectionStrategy: { maxRetry: 0, initialDelay: 100, maxDelay: 100 },
  endpointMustExist: false,
  securityMode: none ? MessageSecurityMode.None : MessageSecurityMode.SignAndEncrypt,
  securityPolicy: SecurityPolicy[work.policy ?? "Basic256Sha256"],
  requestedSessionTimeout: 60000,
});

const identity = work.user
  ? { type: UserTokenType.UserName, userName: work.user, password: work.password }
  : work.certificate
    ? {
        type: UserTokenType.Certificate,
        certificateData: readFileSync(work.certificate),
        privateKey: readFileSync(work.key, "utf8"),
      }
    : { type: UserTokenType.Anonymous };

const steps = {
  async endpoints() {
    const found = await client.getEndpoints();
    return found.map((each) => ({
      policy: each.securityPolicyUri.split("#")[1],
      mode: MessageSecurityMode[each.securityMode],
      tokens: each.userIdentityTokens.map((token) => UserTokenType[token.tokenType]),
    }));
  },
  async children(session, { node }) {
    const found = await session.browse({
      nodeId: resolveNodeId(node),
      browseDirection: BrowseDirection.Forward,
      referenceTypeId: "HierarchicalReferences",
      includeSubtypes: true,
      resultMask: 63,
    });
    return (found.references ?? []).map((each) => ({
      name: each.browseName.name,
      id: each.nodeId.toString(),
      kind: NodeClass[each.nodeClass],
      type: each.typeDefinition.toString(),
    }));
  },
  async supertypes(session, { node }) {
    const names = [];
    for (let at = resolveNodeId(node); ; ) {
      const found = await session.browse({
        nodeId: at,
        browseDirection: BrowseDirection.Inverse,
        referenceTypeId: "HasSubtype",
        resultMask: 63,
      });
      if (!found.references?.length) return names;
      at = found.references[0].nodeId;
      names.push(found.references[0].browseName.name);
    }
  },
  async read(session, { nodes }) {
    const found = await session.read(nodes.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value })));
    return found.map((each) => ({ status: each.statusCode.name, value: plain(each.value?.value) }));
  },
  async write(session, { node, type, value }) {
    const status = await session.write({
      nodeId: node,
      attributeId: AttributeIds.Value,
      value: { value: new Variant({ dataType: type, value }) },
    });
    return status.name;
  },
  async call(session, { object, method, inputs }) {
    const arguments_ = [];
    for (const input of inputs ?? []) {
      const value = input.structure
        ? await session.constructExtensionObject(resolveNodeId(input.structure), input.value)
        : input.value;
      arguments_.push(new Variant({ dataType: input.structure ? "ExtensionObject" : input.type, value }));
    }
    const found = await session.call({ objectId: object, methodId: method, inputArguments: arguments_ });
    return {
      status: found.statusCode.name,
      outputs: (found.outputArguments ?? []).map((each) => plain(each.value)),
    };
  },
  async history(session, { node, count }) {
    const found = await session.readHistoryValue(
      { nodeId: node },
      new Date(Date.now() - 3600e3),
      new Date(Date.now() + 3600e3),
      { numValuesPerNode: count ?? 0, timestampsToReturn: TimestampsToReturn.Both },
    );
    return {
      status: found.statusCode.name,
      values: (found.historyData?.dataValues ?? []).map((each) => ({
        value: plain(each.value?.value),
        at: each.sourceTimestamp?.toISOString(),
      })),
    };
  },
  // Collects what comes until `wanted` values and events are there; `say` is printed when both subscriptions stand.
  async subscribe(session, { events, fields, values, wanted }) {
    const subscription = ClientSubscription.create(session, {
      requestedPublishingInterval: 50,
      requestedLifetimeCount: 1000,
      requestedMaxKeepAliveCount: 10,
      publishingEnabled: true,
    });
    const got = { events: [], values: [] };
    const items = [];
    const enough = new Promise((resolve, reject) => {
      const look = () => {
        if (got.events.length >= (wanted.events ?? 0) && got.values.length >= (wanted.values ?? 0)) resolve();
      };
      if (events) {
        const item = ClientMonitoredItem.create(
          subscription,
          { nodeId: events, attributeId: AttributeIds.EventNotifier },
          { samplingInterval: 0, queueSize: 1000, filter: constructEventFilter(fields) },
          TimestampsToReturn.Both,
        );
        items.push(item);
        item.on("changed", (each) => {
          got.events.push(Object.fromEntries(fields.map((name, at) => [name, plain(each[at]?.value)])));
          look();
        });
      }
      for (const node of values ?? []) {
        const item = ClientMonitoredItem.create(
          subscription,
          { nodeId: node, attributeId: AttributeIds.Value },
          { samplingInterval: 0, queueSize: 1000 },
          TimestampsToReturn.Both,
        );
        items.push(item);
        item.on("changed", (each) => {
          got.values.push({ node, status: each.statusCode.name, value: plain(each.value?.value) });
          look();
        });
      }
      for (const item of items) item.on("err", (message) => reject(new Error(message)));
    });
    await Promise.all(items.map((item) => new Promise((resolve) => item.on("initialized", resolve))));
    console.error("subscribed");
    await enough;
    await subscription.terminate();
    return got;
  },
};

const results = [];
let session;
try {
  await client.connect(url);
  for (const step of work.steps) {
    try {
      if (step.do !== "endpoints") session ??= await client.createSession(identity);
      results.push(await steps[step.do](session, step));
    } catch (error) {
      results.push({ error: error.message });
    }
  }
  await session?.close();
  await client.disconnect();
} catch (error) {
  results.push({ error: error.message });
}
console.log(JSON.stringify({ results }));
process.exit(0);
