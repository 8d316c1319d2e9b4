// The page: what is stored, a measurement dot by dot, live gaze. Everything is asked of the server beside it.

import { Camera } from "./camera.js";

const CARD = 85.6; // mm, the width of bank cards (ISO/IEC 7810, ID-1)
const $ = (id) => document.getElementById(id);
const tab = crypto.randomUUID();
let settings = {};
let mode = ""; // "", "measure" or "live"
let busy = false;
let dot = null; // of the measurement, in shares of the screen
const camera = new Camera($("view"), trouble);

async function ask(name, body = {}) {
  const plain = !(body instanceof Blob);
  const headers = { "X-Tab": tab, "Content-Type": plain ? "application/json" : body.type };
  let answer;
  try {
    const sent = plain ? JSON.stringify(body) : body;
    answer = await fetch(name, { method: "POST", headers, body: sent, keepalive: name === "leave" });
  } catch {
    throw new Error("gazenas collect does not run any more. Start it again by the same command; it goes on from here.");
  }
  const values = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(values.error), { status: answer.status });
  return values;
}

function trouble(text) {
  stop();
  $("trouble").hidden = !text;
  $("trouble").firstElementChild.textContent = text.charAt(0).toUpperCase() + text.slice(1);
  $("begin").disabled = $("live").disabled = Boolean(text);
  $("live").disabled ||= !settings.live;
  if (text) $("again").focus();
}

function say(text, bad = false) {
  $("said").textContent = text;
  $("said").className = bad ? "bad" : "";
}

async function open(take) {
  try {
    settings = await ask("claim", { take });
  } catch (error) {
    trouble(`${error.message}. Try again uses this one instead.`);
    return;
  }
  $("folder").textContent = settings.folder;
  $("person").value ||= settings.person;
  $("session").value ||= settings.session;
  $("size").hidden = settings.screen_mm !== null;
  $("width").required = settings.screen_mm === null;
  if (!settings.live) $("live").title = "needs gazenas collect --model";
  showPeople(settings.people);
  try {
    await camera.start();
    trouble("");
  } catch (error) {
    trouble(error.message);
  }
}

function showPeople(people) {
  $("people").hidden = !people.length;
  $("nothing").hidden = people.length > 0;
  const names = [...new Set(people.map((each) => each.person))];
  $("names").replaceChildren(...names.map((name) => new Option(name)));
  $("people").tBodies[0].replaceChildren(
    ...people.map(({ person, session, taken, total }) => {
      const row = document.createElement("tr");
      for (const text of [person, session, `${taken} of ${total}`]) row.insertCell().textContent = text;
      const button = document.createElement("button");
      button.textContent = "Delete";
      button.setAttribute("aria-label", `Delete session ${session} of ${person}`);
      button.onclick = () => remove(person, session, taken);
      row.insertCell().append(button);
      return row;
    }),
  );
}

async function remove(person, session, taken) {
  if (!confirm(`Delete session ${session} of ${person} with its ${taken} pictures? There is no way back.`)) return;
  try {
    showPeople((await ask("delete", { person, session })).people);
  } catch (error) {
    trouble(error.message);
  }
}

// Pixels of the screen, which the stage fills.
const pixels = () => [innerWidth, innerHeight].map((side) => Math.round(side * devicePixelRatio));

async function fill() {
  $("start").hidden = true;
  $("stage").hidden = false;
  $("stage").focus();
  await document.documentElement.requestFullscreen({ navigationUI: "hide" });
  for (let tries = 0; tries < 20; tries++) {
    // A browser says that the screen is full before its bars are gone.
    if (Math.abs(innerWidth - screen.width) <= 1 && Math.abs(innerHeight - screen.height) <= 1) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(
    "The page does not fill the screen, and dots are not where they seem: set the zoom to 100%, close bars and panels.",
  );
}

function stop() {
  const was = mode;
  mode = "";
  $("start").hidden = false;
  $("stage").hidden = $("dot").hidden = $("mirror").hidden = true;
  $("dot").style.transform = "";
  if (document.fullscreenElement) document.exitFullscreen();
  if (!was) return;
  $("begin").focus();
  ask("claim").then((values) => showPeople(values.people), (error) => trouble(error.message));
}

async function enter(wanted, begin) {
  try {
    await fill();
    await begin();
    mode = wanted;
  } catch (error) {
    trouble(error.message);
  }
}

function measure(event) {
  event.preventDefault();
  $("done").textContent = "";
  enter("measure", async () => {
    const [person, session, width] = [$("person").value, $("session").value, Number($("width").value)];
    show(await ask("begin", { person, session, width, pixels: pixels() }));
  });
}

function show(progress) {
  dot = progress.dot;
  $("dot").hidden = !dot;
  $("dot").className = "";
  if (!dot) {
    const { person, session, total } = progress;
    stop();
    $("session").value = "";
    const whole = `Session ${session} of ${person} has all of its ${total} pictures.`;
    $("done").textContent = `${whole} The next one is worth most with other light, clothes or place.`;
    return;
  }
  $("dot").style.left = `${dot[0] * innerWidth}px`;
  $("dot").style.top = `${dot[1] * innerHeight}px`;
  say(`${progress.taken} of ${progress.total}: look at the dot and press Space`);
}

async function shoot() {
  busy = true;
  $("dot").className = "wait";
  try {
    if (!camera.open) throw new Error("The camera gives no picture: press Esc and try again.");
    const picture = await camera.picture(0, 0.95, document.createElement("canvas"));
    const [x, y] = dot.map((share, axis) => share * pixels()[axis]);
    show(await ask(`picture?x=${x}&y=${y}`, picture));
  } catch (error) {
    if (error.status === 422) say(`Not stored: ${error.message}`, true);
    else trouble(error.message);
  }
  $("dot").className = "";
  busy = false;
}

async function undo() {
  try {
    show(await ask("undo"));
  } catch (error) {
    say(error.message, true);
  }
}

function live() {
  enter("live", async () => {
    const known = await ask("look", { width: Number($("width").value), pixels: pixels() });
    $("mirror").hidden = false;
    $("dot").className = "gaze";
    $("dot").style.left = $("dot").style.top = "0";
    mode = "live";
    const times = [];
    for (const _ of [0, 1]) watch(times, known.screen); // one frame is looked at while the next is taken
  });
}

async function watch(times, onScreen) {
  const taken = document.createElement("canvas");
  while (mode === "live") {
    await camera.next();
    try {
      const answer = await ask("frame", await camera.picture(settings.live_width, 0.8, taken));
      if (answer.late || mode !== "live") continue;
      times.push(performance.now());
      while (times[0] < times.at(-1) - 3000) times.shift();
      draw(answer, taken, onScreen, times);
    } catch (error) {
      if (error.status !== 422) return trouble(error.message);
      say(error.message, true);
    }
  }
}

function draw({ faces, ms }, taken, onScreen, times) {
  const canvas = $("drawing");
  [canvas.width, canvas.height] = [taken.width, taken.height];
  const pen = canvas.getContext("2d");
  pen.drawImage(taken, 0, 0);
  canvas.dataset.frames = Number(canvas.dataset.frames ?? 0) + 1;
  pen.lineWidth = canvas.width / 200;
  for (const { box, arrow } of faces) {
    const [left, top, right, bottom] = scaled(box, canvas);
    pen.strokeStyle = arrow ? "#facc15" : "#a1a1aa";
    pen.strokeRect(left, top, right - left, bottom - top);
    if (arrow) drawArrow(pen, scaled(arrow, canvas));
  }
  const met = faces.find((face) => face.screen)?.screen;
  $("dot").hidden = !met;
  if (met) {
    const [x, y] = met.map((at, axis) => Math.min(Math.max(at / devicePixelRatio, 0), [innerWidth, innerHeight][axis]));
    $("dot").style.transform = `translate(${x}px, ${y}px)`;
  }
  const rate = times.length > 1 ? (1000 * (times.length - 1)) / (times.at(-1) - times[0]) : 0;
  const angles = faces[0]?.angles?.map((angle) => `${angle.toFixed(0)}°`);
  const where = angles ? `pitch ${angles[0]}, yaw ${angles[1]}` : faces[0]?.reason ?? "nobody is seen";
  const unknown = onScreen ? "" : "; no screen is known";
  const speed = `${rate.toFixed(1)} frames a second, ${ms.toFixed(1)} ms each`;
  say(`${where}; ${speed}${unknown}. Esc ends it; nothing is stored.`);
}

const scaled = (shares, { width, height }) => shares.map((share, axis) => share * (axis % 2 ? height : width));

function drawArrow(pen, [x, y, toX, toY]) {
  const [along, down] = [toX - x, toY - y];
  const head = Math.min(5 * pen.lineWidth, Math.hypot(along, down) / 2) / Math.max(Math.hypot(along, down), 1e-6);
  pen.strokeStyle = pen.fillStyle = "#ef4444";
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(toX, toY);
  pen.stroke();
  pen.beginPath();
  pen.moveTo(toX, toY);
  for (const side of [0.5, -0.5]) pen.lineTo(toX - head * (along + side * down), toY - head * (down - side * along));
  pen.fill();
}

$("who").onsubmit = measure;
$("live").onclick = live;
$("again").onclick = () => open(true);
$("measure").oninput = () => {
  $("card").style.width = `${$("measure").value}px`;
  $("width").value = Math.round((screen.width * CARD) / $("measure").value);
};
$("card").style.width = `${$("measure").value}px`;

document.addEventListener("keydown", (event) => {
  if (!mode) return;
  if (event.key === "Escape") return stop();
  if (mode !== "measure" || event.repeat || busy) return;
  if (event.key === " ") shoot();
  else if (event.key === "Backspace") undo();
  else return;
  event.preventDefault();
});
document.addEventListener("fullscreenchange", () => {
  if (!document.fullscreenElement && mode) stop();
});
addEventListener("pagehide", () => ask("leave").catch(() => {}));
addEventListener("resize", () => {
  if (mode === "measure" && dot) {
    $("dot").style.left = `${dot[0] * innerWidth}px`;
    $("dot").style.top = `${dot[1] * innerHeight}px`;
  }
});
setInterval(() => {
  if (!$("trouble").hidden) return;
  ask("alive").catch((error) => trouble(error.message));
  if (!camera.open) return;
  const { videoWidth, videoHeight } = camera.video;
  $("seen").textContent = camera.dark()
    ? "The picture is black: is the lid closed, or the camera covered?"
    : `Your camera's picture, mirrored here, stored as it is: ${videoWidth} x ${videoHeight} pixels.`;
}, 1500);

open(false);
