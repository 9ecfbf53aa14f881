// Prints every verdict of all stations at a broker once, with a warning if some were missed.
//
//     npm install mqtt
//     node subscriber.mjs [mqtt://HOST:PORT]
//
// Messages are delivered at least once. A repeat has the same id as the first message. A gap in sequence means that
// messages were lost; the command resend asks for them again (send_command.sh).
import mqtt from "mqtt";

const newest = new Map(); // the highest sequence number of each station, by the station's topic
const seen = new Set(); // the last 10,000 ids, to recognise repeats
const topics = ["edge-inspect/v1/+/+/+/verdict", "edge-inspect/v1/+/+/+/defect"];

// With a fixed client id and a session that is not clean, the broker keeps messages while this program is disconnected.
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
  newest.set(station, Math.max(before, part.sequence)); // a part that was sent again has a lower number
  const said = part.ok ? "accept" : "REJECT";
  console.log(`${station}  #${part.sequence}  ${said}  ${part.score.toFixed(4)} of ${part.threshold.toFixed(4)}`);
});
