// docs/asyncapi.json, judged by AsyncAPI's own parser: node parse.mjs FILE
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.HOME}/.cache/tallybox/tools/clients/`);
const { Parser } = require("@asyncapi/parser");

const { document, diagnostics } = await new Parser().parse(fs.readFileSync(process.argv[2], "utf8"));
// 0: error, 1: warning. What is left are hints, such as that there is a newer version of AsyncAPI.
const wrong = diagnostics.filter((diagnostic) => diagnostic.severity <= 1);
for (const { severity, path, message } of diagnostics) console.log(severity, path.join("."), message);
if (!document || wrong.length > 0) process.exit(1);
const replies = document.operations().filter((operation) => operation.reply()).length;
console.log(`${document.channels().length} channels, ${document.allMessages().length} messages, ${replies} with a reply`);
if (replies < 6) process.exit(1);
