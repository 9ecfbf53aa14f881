// Reads, writes and is refused with modbus-serial: `node modbus-serial.js PORT`; prints what came, as JSON.
"use strict";
const ModbusRTU = require("modbus-serial");

async function main(port) {
  const client = new ModbusRTU();
  client.setTimeout(20000);
  await client.connectTCP("127.0.0.1", { port });
  client.setID(1);
  const refused = {};
  async function refuse(name, request) {
    refused[name] = await request.then(() => "answered", (error) => error.modbusCode ?? String(error));
  }
  const holding = (await client.readHoldingRegisters(0, 72)).data;
  const input = (await client.readInputRegisters(0, 72)).data;
  await client.writeRegister(22, 5);
  await client.writeRegisters(22, [9]);
  await refuse("read 0", client.readHoldingRegisters(0, 0));
  await refuse("read 126", client.readInputRegisters(0, 126));
  await refuse("read behind the end", client.readHoldingRegisters(1999, 2));
  await refuse("write another", client.writeRegister(21, 1));
  await refuse("write two", client.writeRegisters(22, [9, 0]));
  await refuse("write a part not shown", client.writeRegister(22, 11));
  await refuse("function 1", client.readCoils(0, 8));
  await refuse("function 5", client.writeCoil(22, true));
  await refuse("function 17", client.reportServerID(0, 0));
  await refuse("function 20", client.readFileRecords(1, 1));
  await refuse("function 23", client.readWriteRegisters(0, 1, 22, 1, [9]));
  await refuse("function 43", client.readDeviceIdentification(1, 0));
  // All of these are on their way before the first is answered.
  const requests = [];
  for (let number = 0; number < 50; number++) requests.push(client.readHoldingRegisters(number, 3));
  const together = (await Promise.all(requests)).map((one) => one.data);
  console.log(JSON.stringify({ holding, input, refused, together }));
  client.close(() => process.exit(0));
}

main(Number(process.argv[2])).catch((error) => {
  console.error(error);
  process.exit(1);
});
