// Decodes and encodes Sparkplug B payloads with Eclipse Tahu's library.
// stdin: {"decode": [base64, ...], "encode": [payload, ...]}; stdout: the same, decoded and encoded.
import fs from "node:fs";
import sparkplug from "sparkplug-payload";

const tahu = sparkplug.get("spBv1.0");
const plain = (key, value) => {
  if (value && value.type === "Buffer") return Buffer.from(value.data).toString("base64");
  // 64 bits, as a Long.
  return value && value.low !== undefined && value.high !== undefined
    ? ((BigInt(value.unsigned ? value.high >>> 0 : value.high) << 32n) | BigInt(value.low >>> 0)).toString()
    : value;
};
const { decode = [], encode = [] } = JSON.parse(fs.readFileSync(0));
const decoded = decode.map((text) => tahu.decodePayload(Buffer.from(text, "base64")));
const encoded = encode.map((payload) => Buffer.from(tahu.encodePayload(payload)).toString("base64"));
console.log(JSON.stringify({ decode: decoded, encode: encoded }, plain));
