// Compiles the JSON Schemas of a folder in ajv's strict mode and validates instances.
// stdin: {"command": [instance, ...], ...}; stdout: the same with each instance's errors, [] where it is valid.
import fs from "node:fs";
import path from "node:path";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const folder = process.argv[2];
const told = {};
for (const [name, instances] of Object.entries(JSON.parse(fs.readFileSync(0)))) {
  const ajv = new Ajv({ strict: true, strictRequired: true, validateSchema: true, allErrors: true });
  addFormats(ajv);
  const validate = ajv.compile(JSON.parse(fs.readFileSync(path.join(folder, `${name}.schema.json`))));
  told[name] = instances.map((instance) => (validate(instance) ? [] : validate.errors.map((error) => error.message)));
}
console.log(JSON.stringify(told));
