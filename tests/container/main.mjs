// The root file system of the container image in a bare chroot, as the user and with the commands
// of the Dockerfile: it serves, fails over, reloads and stops. `cargo xtask test static` runs it.
//
// node tests/container/main.mjs ROOTFS

import { spawn, spawnSync } from "node:child_process";
import { chownSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { dockerfile } from "./dockerfile.mjs";

if (process.getuid() !== 0) {
  console.error("error: only root can use chroot");
  process.exit(1);
}
const rootfs = process.argv[2];
const image = dockerfile(readFileSync("Dockerfile", "utf8"));
const [listen, admin] = [await freePort(), await freePort()];
// The network is that of this machine, so the ports may be in use.
const onFreePorts = (part) => part.replace(":8080", `127.0.0.1:${listen}`).replace(":8081", `:${admin}`);
const map = join(rootfs, "etc/tunnel-balancer/services.yaml");
const state = join(rootfs, "var/lib/tunnel-balancer/state.json");

// As the Dockerfile does by `COPY --chown`.
mkdirSync(dirname(state), { recursive: true });
chownSync(dirname(state), ...image.user.split(":").map(Number));
const [a, b] = [await server("a"), await server("b")];
writeMap("chat.example.com");
const proxy = await start();
try {
  await check("it serves", async () => equal(await get("chat.example.com"), "200 a"));
  await check("the health check passes", async () => equal(health().status, 0));
  await check("it fails over when a server is killed", async () => {
    a.kill();
    for (let request = 0; request < 20; request++) equal(await get("chat.example.com"), "200 b");
  });
  await check("a changed map is applied", async () => {
    writeMap("new.example.com");
    await proxy.event("config_loaded");
    equal(await get("new.example.com"), "200 b");
  });
  await check("SIGHUP reloads the map", async () => {
    proxy.process.kill("SIGHUP");
    await proxy.event("config_loaded");
  });
  await check("it stores state", () => readFileSync(state));
  await check("SIGTERM stops it", async () => {
    proxy.process.kill("SIGTERM");
    equal(await proxy.exit, 0);
  });
  await check("the health check fails", async () => equal(health().status, 1));
} finally {
  proxy.process.kill("SIGKILL");
  b.kill();
  rmSync(map, { force: true });
  rmSync(state, { force: true });
}

async function check(name, run) {
  try {
    await run();
    console.log(`ok      ${name}`);
  } catch (error) {
    console.log(`FAILED  ${name}: ${error.message}`);
    proxy.log.slice(-20).forEach((line) => console.log(`        ${line}`));
    process.exitCode = 1;
  }
}

function equal(found, expected) {
  if (found !== expected) throw new Error(`expected ${expected}, found ${found}`);
}

/** Runs a command of the image in the chroot. */
function inImage(command, run, options) {
  return run("chroot", [`--userspec=${image.user}`, rootfs, ...command.map(onFreePorts)], { env: { PATH: process.env.PATH }, ...options });
}

/** Starts the image's command, and waits until it listens. */
async function start() {
  const command = [...image.entrypoint, ...image.command, "--state-file", "/var/lib/tunnel-balancer/state.json"];
  const process = inImage(command, spawn, { stdio: ["ignore", "pipe", "inherit"] });
  const [log, waiting] = [[], []];
  let isRead = 0;
  const exit = new Promise((resolve) => process.on("exit", (code) => resolve(code)));
  const next = () => {
    for (; waiting.length > 0 && isRead < log.length; isRead++) {
      if (JSON.parse(log[isRead]).event === waiting[0].name) waiting.shift().resolve();
    }
  };
  createInterface(process.stdout).on("line", (line) => {
    log.push(line);
    next();
  });
  /** Waits for the next event of a name that was not waited for yet. */
  const event = (name) =>
    Promise.race([
      new Promise((resolve) => {
        waiting.push({ name, resolve });
        next();
      }),
      exit.then((code) => Promise.reject(new Error(`it ended with ${code} before ${name}`))),
    ]);
  await event("config_loaded");
  await event("listening");
  return { process, log, exit, event };
}

function health() {
  return inImage(image.healthcheck, spawnSync, { encoding: "utf8" });
}

/** Replaces the map at once, as an editor does. */
function writeMap(host) {
  const servers = [a, b].map(({ name, port }) => `{ name: ${name}, url: "http://127.0.0.1:${port}" }`);
  writeFileSync(`${map}.new`, `services:\n  ${host}:\n    servers: [${servers.join(", ")}]\n`, { mode: 0o644 });
  renameSync(`${map}.new`, map);
}

/** Sends a request. Returns its status and the name of the server that responded. */
function get(host) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: listen, headers: { host } };
    request(options, (response) => {
      response.resume().on("end", () => resolve(`${response.statusCode} ${response.headers["x-served-by"]}`));
    }).on("error", reject).end();
  });
}

function server(name) {
  const server = createServer((_, response) => response.end(name));
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const kill = () => {
        server.close();
        server.closeAllConnections();
      };
      resolve({ name, port: server.address().port, kill });
    });
  });
}

function freePort() {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
