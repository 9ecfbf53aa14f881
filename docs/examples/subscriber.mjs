// Prints every verdict of a broker's stations: each once, with a warning where one was missed.
//
//     npm install mqtt
//     node subscriber.mjs [mqtt://HOST:PORT]
//
// Delivery is at least once. So a message may come twice, which its id tells, and a gap in sequence is a loss on the
// way; the command resend asks for it again (send_command.sh).
import mqtt from "mqtt";

const newest = new Map(); // the highest sequence number of each station, by its topic
const seen = new Set(); // the last ids; more than a broker has unacknowledged at a time
const topics = ["edge-inspect/v1/+/+/+/verdict", "edge-inspect/v1/+/+/+/defect"];

// A session of its own name and not clean: the broker keeps what comes while this program is away.
const client = mqtt.connect(process.argv[2] ?? "mqtt://localhost:1883", { clientId: "verdict-printer-js", clean: false });

client.on("connect", () => client.subscribe(topics, { qos: 1 }));
client.on("error", (error) => console.error(error.message));
client.on("message", (topic, payload) => {
  const at = topic.lastIndexOf("/");
  const [station, kind] = [topic.slice(0, at), topic.slice(at + 1)];
  const part = JSON.parse(payload);
  if (kind === "defect") { // the same part as its verdict, with regions
    for (const region of part.regions) {
      console.log(`${station}  #${part.sequence}  region [${region.bbox.join(", ")}], peak ${region.peak.toFixed(4)}`);
    }
    return;
  }
  if (seen.has(part.id)) return;
  seen.add(part.id);
  if (seen.size > 10000) seen.delete(seen.values().next().value);
  const before = newest.get(station) ?? part.sequence - 1;
  if (part.sequence > before + 1) console.log(`${station}  missed #${before + 1} to #${part.sequence - 1}`);
  newest.set(station, Math.max(before, part.sequence)); // one that was sent again comes late, and is no gap
  const said = part.ok ? "accept" : "REJECT";
  console.log(`${station}  #${part.sequence}  ${said}  ${part.score.toFixed(4)} of ${part.threshold.toFixed(4)}`);
});
