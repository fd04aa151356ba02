// EIP-2335 keystores for trials, with passwords that cost nothing to guess.
//   node keys.mjs interop FIRST..LAST FOLDER       the well-known keys of test networks, one password file beside each
//   node keys.mjs rekey FROM FOLDER PASSWORD       keystores with password files beside them, under one password instead
import fs from "node:fs";
import path from "node:path";
import {Keystore} from "@chainsafe/bls-keystore";
import {SecretKey} from "@chainsafe/blst";
import * as st from "@lodestar/state-transition";

const [task, from, folder, common] = process.argv.slice(2);
fs.mkdirSync(folder, {recursive: true});
const cheap = {function: "pbkdf2", params: {dklen: 32, c: 2, prf: "hmac-sha256", salt: "07".repeat(32)}, message: ""};

async function write(name, secret, password) {
  const store = await Keystore.create(password, secret.toBytes(), secret.toPublicKey().toBytes(), "", null, cheap);
  fs.writeFileSync(path.join(folder, `${name}.json`), store.stringify());
}

if (task === "interop") {
  const [first, last] = from.split("..").map(Number);
  for (let i = first; i <= last; i++) {
    await write(`keystore-${i - first}`, st.interopSecretKey(i), "trial");
    fs.writeFileSync(path.join(folder, `keystore-${i - first}.txt`), "trial");
  }
} else if (task === "rekey") {
  for (const file of fs.readdirSync(from).filter((name) => name.endsWith(".json"))) {
    const name = file.replace(/\.json$/, "");
    const password = fs.readFileSync(path.join(from, `${name}.txt`), "utf8").trim();
    const secret = await Keystore.parse(fs.readFileSync(path.join(from, file), "utf8")).decrypt(password);
    await write(name, SecretKey.fromBytes(secret), common);
  }
} else {
  throw new Error("expected interop or rekey");
}
