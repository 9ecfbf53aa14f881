// Reads, writes and is refused with jsmodbus: `node jsmodbus.js PORT`; prints what came, as JSON.
"use strict";
const net = require("net");
const modbus = require("jsmodbus");

const socket = new net.Socket();
const client = new modbus.client.TCP(socket, 1, 20000);

async function main() {
  const refused = {};
  async function refuse(name, request) {
    refused[name] = await request.then(() => "answered", (error) => error.response?.body.code ?? error.err);
  }
  const holding = (await client.readHoldingRegisters(0, 72)).response.body.valuesAsArray;
  const input = (await client.readInputRegisters(0, 72)).response.body.valuesAsArray;
  await client.writeSingleRegister(22, 5);
  await client.writeMultipleRegisters(22, [9]);
  await refuse("read 0", client.readHoldingRegisters(0, 0));
  await refuse("read 126", client.readHoldingRegisters(0, 126));
  await refuse("read behind the end", client.readInputRegisters(1999, 2));
  await refuse("write another", client.writeSingleRegister(21, 1));
  await refuse("write two", client.writeMultipleRegisters(22, [9, 0]));
  await refuse("write a part not shown", client.writeMultipleRegisters(22, [11]));
  await refuse("function 1", client.readCoils(0, 8));
  await refuse("function 2", client.readDiscreteInputs(0, 8));
  await refuse("function 5", client.writeSingleCoil(22, true));
  await refuse("function 15", client.writeMultipleCoils(22, [true]));
  const requests = [];
  for (let number = 0; number < 50; number++) requests.push(client.readHoldingRegisters(number, 3));
  const together = (await Promise.all(requests)).map((one) => one.response.body.valuesAsArray);
  console.log(JSON.stringify({ holding, input, refused, together }));
  socket.end();
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

socket.on("error", fail);
socket.on("connect", () => main().catch(fail));
socket.connect({ host: "127.0.0.1", port: Number(process.argv[2]) });
