// An Express application whose every request says what it does with the session: POST /do with a list of steps.
"use strict";

const express = require("express");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");

const settings = JSON.parse(process.env.SETTINGS); // redis (URL), secrets, session and store (options)
const held = new Map(); // requests that wait, by name: call the value to let one go on

const promised = (target, method) =>
  new Promise((resolve, reject) => target[method]((error) => (error ? reject(error) : resolve())));

const steps = {
  read: ({ session: { cookie, wsgisession, ...items } }) => structuredClone(items),
  id: (req) => req.sessionID,
  set: (req, items) => void Object.assign(req.session, items),
  evaluate: (req, text) => new Function("session", text)(req.session),
  remove: (req, name) => void delete req.session[name],
  maxAge: (req, milliseconds) => void (req.session.cookie.maxAge = milliseconds),
  regenerate: (req) => promised(req.session, "regenerate"),
  destroy: (req) => promised(req.session, "destroy"),
  save: (req) => promised(req.session, "save"),
  wait: (req, name) => new Promise((resolve) => held.set(name, resolve)),
  all: (req) => req.sessionStore.all(),
};

async function main() {
  const client = createClient({ url: settings.redis });
  client.on("error", () => {});
  await client.connect();
  const app = express();
  app.use(express.json());
  app.get("/held/:name", (req, res) => res.json(held.has(req.params.name)));
  app.post("/release/:name", (req, res) => {
    held.get(req.params.name)();
    held.delete(req.params.name);
    res.json(true);
  });
  app.use(
    session({
      store: new RedisStore({ client, ...settings.store }),
      secret: settings.secrets,
      resave: false,
      saveUninitialized: false,
      ...settings.session,
    }),
  );
  app.post("/do", async (req, res) => {
    const results = [];
    for (const [step, ...values] of req.body) {
      results.push((await steps[step](req, ...values)) ?? null);
    }
    res.json(results);
  });
  // eslint-disable-next-line no-unused-vars
  app.use((error, req, res, next) => res.status(500).json(String(error.stack)));
  const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
}

main();
