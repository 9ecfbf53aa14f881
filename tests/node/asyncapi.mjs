// Reads an AsyncAPI document by the project's own parser. stdout: what it finds, and the addresses of the channels.
import { Parser, fromFile } from "@asyncapi/parser";

const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
const channels = document ? document.channels().all().map((channel) => channel.address()) : null;
console.log(JSON.stringify({ diagnostics: diagnostics.map(({ code, message }) => ({ code, message })), channels }));
