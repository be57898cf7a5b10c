// The page itself: loads the model, takes an image, and shows what the model says of it.
"use strict";

const about = JSON.parse(document.getElementById("about-model").textContent);
const SHOWN = 10; // classes in the table
const LARGEST = 89478485; // pixels of an image, as featx itself allows
const part = (name) => document.getElementById(name);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function say(text, kind = "") {
  part("status").textContent = text;
  part("status").className = kind;
}

function describe() {
  document.title = about.title;
  part("title").textContent = about.title;
  for (const line of about.lines) {
    const item = document.createElement("li");
    item.textContent = line;
    part("facts").append(item);
  }
}

async function loadModel() {
  say("The model is being loaded …");
  const ort = await import("./onnxruntime-web/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("onnxruntime-web/", document.baseURI).href;
  ort.env.wasm.numThreads = 1;
  const answer = await fetch(encodeURIComponent(about.model));
  if (!answer.ok) {
    throw new Error(`${about.model} is not beside this page (status ${answer.status})`);
  }
  const session = await ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer()));
  return { ort, session };
}

// All pixels of an image file over white, as { width, height, data }; turned upright only if the model wants that.
async function readImage(file, upright) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const blob = new Blob(upright ? [bytes] : withoutTurn(bytes), { type: file.type });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch(() => {
    throw new Error("this browser cannot read it as an image");
  });
  if (bitmap.width * bitmap.height > LARGEST) {
    throw new Error(`it has ${bitmap.width} x ${bitmap.height} pixels, more than the limit of ${LARGEST}`);
  }
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function classify({ ort, session }, file) {
  const images = new Map();
  const feeds = {};
  for (const input of about.inputs) {
    if (!images.has(input.exif)) {
      images.set(input.exif, await readImage(file, input.exif));
    }
    const { type, data, dims } = toInput(images.get(input.exif), input);
    feeds[input.name] = new ort.Tensor(type, data, dims);
  }
  const { probabilities } = await session.run(feeds, ["probabilities"]);
  return Array.from(probabilities.data);
}

function labelOf(probabilities) {
  const likely = about.classes.filter((_, place) => probabilities[place] > 0.5);
  if (about.multilabel) {
    return likely.length ? likely.join(", ") : "none of the classes";
  }
  return about.classes[probabilities.indexOf(Math.max(...probabilities))];
}

function show(file, probabilities) {
  const ranked = about.classes.map((name, place) => ({ name, share: probabilities[place] }));
  ranked.sort((one, other) => other.share - one.share);
  part("rows").replaceChildren(...ranked.slice(0, SHOWN).map(toRow));
  part("more").textContent = ranked.length > SHOWN ? `The ${SHOWN} most probable of ${ranked.length} classes.` : "";
  part("answer").hidden = false;
  say(`${file.name}: ${labelOf(probabilities)}${about.multilabel ? "" : `, ${percent(ranked[0].share)}`}`, "done");
}

function toRow({ name, share }) {
  const row = document.createElement("tr");
  const title = document.createElement("th");
  title.scope = "row";
  title.dir = "auto";
  title.textContent = name;
  const meter = document.createElement("meter");
  meter.value = share;
  meter.setAttribute("aria-hidden", "true");
  const [bar, number] = [document.createElement("td"), document.createElement("td")];
  bar.append(meter);
  number.textContent = percent(share);
  row.append(title, bar, number);
  return row;
}

function preview(file) {
  const picture = part("picture");
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(file);
  picture.alt = file.name;
}

async function take(loading, file) {
  if (!file) {
    return;
  }
  part("answer").hidden = true;
  preview(file);
  try {
    const model = await loading;
    say(`${file.name} is being classified …`);
    show(file, await classify(model, file));
  } catch (error) {
    say(`${file.name} cannot be classified: ${error.message || error}`, "failed");
  }
}

function listen(loading) {
  let last = Promise.resolve();
  const next = (file) => {
    last = last.then(() => take(loading, file));
  };
  part("file").addEventListener("change", (event) => next(event.target.files[0]));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    next(event.dataTransfer.files[0]);
  });
}

async function begin() {
  describe();
  if (location.protocol === "file:") {
    const name = decodeURIComponent(location.pathname.split("/").pop());
    part("file").disabled = true;
    say(
      "This page was opened as a file, and browsers let no such page read a model. Run `python -m http.server` in " +
        `its folder, and open http://localhost:8000/${name} instead.`,
      "failed",
    );
    return;
  }
  const loading = loadModel();
  listen(loading);
  try {
    await loading;
    say("Drop an image on this page, or choose one.");
  } catch (error) {
    say(`The model cannot be loaded: ${error.message || error}`, "failed");
  }
}

begin();
