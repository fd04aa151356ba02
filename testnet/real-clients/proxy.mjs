// A proxy before the test beacon node: counts what passes (tally.mjs), and lets some of its ports misbehave.
//   node proxy.mjs --target http://127.0.0.1:PORT --listen PORT[:late=MILLISECONDS|:fail=STATUS] [--listen …]
//   GET /tally?first=SLOT&last=SLOT on any port: one line, `ok` or `FAILED` first, then the figures.
import http from "node:http";
import {KINDS, Tally} from "./tally.mjs";

const argv = process.argv.slice(2);
const values = (name) => argv.filter((_, i) => argv[i - 1] === `--${name}`);
const target = new URL(values("target")[0]);
const tally = new Tally(target.origin);
const agent = new http.Agent({keepAlive: true, maxSockets: 256});
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function summary(query) {
  const report = await tally.report(Number(query.get("first")), Number(query.get("last")));
  const stats = await (await fetch(`${target.origin}/devbn/stats`)).json();
  const sum = (test) => Object.entries(stats).reduce((n, [name, count]) => n + (test(name) ? count : 0), 0);
  const rejected = sum((name) => name.endsWith(".rejected"));
  const slashable = sum((name) => name.startsWith("slashable."));
  const whole = KINDS.every((kind) => report[kind].due > 0 && report[kind].accepted === report[kind].due);
  const figures = KINDS.map((kind) => `${report[kind].accepted}/${report[kind].due}`).join(" ");
  const missed = KINDS.flatMap((kind) => (report[kind].missed.length ? [`${kind}: ${report[kind].missed.join(" ")}`] : [])).join("; ");
  return `${whole && !rejected && !slashable ? "ok" : "FAILED"} ${figures} ${rejected} ${slashable} ${missed}\n`;
}

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function forward(req, res, late) {
  const body = await read(req);
  const headers = {...req.headers, host: target.host};
  const out = http.request({host: target.hostname, port: target.port, method: req.method, path: req.url, headers, agent});
  res.on("close", () => out.destroy());
  out.end(body);
  const answer = await new Promise((done, failed) => out.on("response", done).on("error", failed));
  await pause(late);
  if (/event-stream/.test(answer.headers["content-type"] ?? "")) {
    res.writeHead(answer.statusCode, answer.headers);
    answer.pipe(res);
    return;
  }
  const text = await read(answer);
  const path = req.url.split("?")[0];
  if (req.method === "POST") tally.record(path, req.headers, body, answer.statusCode, text);
  res.writeHead(answer.statusCode, answer.headers);
  res.end(text);
}

for (const word of values("listen")) {
  const [port, how] = word.split(":");
  const [kind, value] = how?.split("=") ?? [];
  const late = kind === "late" ? Number(value) : 0;
  const server = http.createServer(async (req, res) => {
    try {
      const url = new URL(req.url, "http://localhost");
      if (url.pathname === "/tally") return void res.end(await summary(url.searchParams));
      if (kind === "fail") {
        await read(req);
        return void res.writeHead(Number(value)).end('{"code":500,"message":"told to fail"}');
      }
      await forward(req, res, late);
    } catch (e) {
      console.log(req.method, req.url.slice(0, 120), e.message);
      if (!res.headersSent) res.writeHead(502);
      res.end();
    }
  });
  server.listen(Number(port), "127.0.0.1");
}
await tally.follow();
