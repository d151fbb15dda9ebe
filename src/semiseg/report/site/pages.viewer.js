// The scan of a case with truth and prediction. Nothing is loaded before a reader asks for a case; then three scripts are:
// the scan with its truth, the prediction, and NiiVue. Without WebGL the same volumes are drawn as three slices.
"use strict";

const page = document.querySelector("main[data-volumes]");
const row = page.dataset.row;
const organs = JSON.parse(page.dataset.organs); // [label, abbreviation, name, colour]
const predicted = JSON.parse(page.dataset.shown); // case -> whether its prediction is in the site
const cases = new Map(); // case -> promise of its volumes
const MISSED = 1, WRONG = 2;
const ERRORS = [[MISSED, "", "in the truth alone", "#E69F00"], [WRONG, "", "in the prediction alone", "#CC79A7"]];
const arrived = new Map(); // case -> what its scripts have handed over
let turn = 0; // counts how often a reader asked for a case

globalThis.semisegVolume = (content) => { arrived.set(content.case, { ...arrived.get(content.case), ...content }); };

function loadScript(source) {
  return new Promise((resolve, reject) => {
    const script = make("script", { src: source });
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${source} is missing: copy the whole folder of the site`));
    document.head.append(script);
  });
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function volumes(name) {
  const folder = page.dataset.volumes + encodeURIComponent(name);
  await loadScript(`${folder}/scan.js`);
  if (predicted[name]) await loadScript(`${folder}/prediction.${encodeURIComponent(row)}.js`);
  const { size, spacing, step, ...texts } = arrived.get(name);
  arrived.delete(name);
  const [scan, truth, prediction] = await Promise.all([texts.scan, texts.truth, texts.labels].map((text) => text && unpack(text)));
  const errors = prediction && truth.map((label, voxel) => (label === prediction[voxel] ? 0 : label ? MISSED : WRONG));
  return { size, spacing, step, scan, labels: { Truth: truth, Prediction: prediction, Errors: errors } };
}

// A NIfTI-1 file of one byte per voxel; the axes run to the patient's left, back and feet.
function nifti({ size, spacing }, voxels) {
  const buffer = new ArrayBuffer(352 + voxels.length), view = new DataView(buffer);
  view.setInt32(0, 348, true);
  [3, ...size, 1, 1, 1, 1].forEach((side, place) => view.setInt16(40 + 2 * place, side, true));
  view.setInt16(70, 2, true);
  view.setInt16(72, 8, true);
  [1, ...spacing].forEach((side, place) => view.setFloat32(76 + 4 * place, side, true));
  view.setFloat32(108, 352, true);
  view.setFloat32(112, 1, true);
  view.setFloat32(124, 255, true); // shown as white
  view.setInt8(123, 2);
  view.setInt16(254, 1, true);
  spacing.forEach((side, axis) => view.setFloat32(280 + 20 * axis, -side, true));
  "n+1".split("").forEach((sign, place) => view.setUint8(344 + place, sign.charCodeAt(0)));
  new Uint8Array(buffer, 352).set(voxels);
  return buffer;
}

const rgb = (colour) => [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));

// The voxel in the middle of what is marked.
function centre({ size }, marks) {
  const sums = [0, 0, 0];
  let count = 0;
  for (let voxel = 0; voxel < marks.length; voxel++) {
    if (!marks[voxel]) continue;
    count++;
    sums[0] += voxel % size[0];
    sums[1] += Math.floor(voxel / size[0]) % size[1];
    sums[2] += Math.floor(voxel / (size[0] * size[1]));
  }
  return count ? sums.map((sum) => Math.round(sum / count)) : size.map((side) => side >> 1);
}

class Rendered {
  static async on(canvas, volume) {
    if (!globalThis.niivue) await loadScript("../../static/niivue.umd.js");
    const view = new Rendered();
    view.nv = new niivue.Niivue({ backColor: [0, 0, 0, 1], isColorbar: false, isRadiologicalConvention: true, isCornerOrientationText: true, loadingText: "", crosshairColor: [1, 0.86, 0.48, 0.6], crosshairWidth: 0.25, crosshairWidthUnit: "percent", dragAndDropEnabled: false, logLevel: "silent" });
    await view.nv.attachToCanvas(canvas, true);
    view.nv.addVolume(await niivue.NVImage.new(nifti(volume, volume.scan), "scan.nii", "gray", 1));
    view.names = [];
    for (const [name, voxels] of Object.entries(volume.labels)) {
      if (!voxels) continue;
      const image = await niivue.NVImage.new(nifti(volume, voxels), `${name}.nii`, "gray", 0);
      const known = [[0, "", "", "#000000"], ...(name === "Errors" ? ERRORS : organs)];
      const colours = known.map(([, , , colour]) => rgb(colour));
      image.setColormapLabel({ I: known.map(([label]) => label), R: colours.map(([red]) => red), G: colours.map(([, green]) => green), B: colours.map(([, , blue]) => blue), A: known.map((_, place) => (place ? 255 : 0)), labels: known.map(([, short]) => short) });
      view.nv.addVolume(image);
      view.names.push(name);
    }
    view.nv.opts.multiplanarShowRender = niivue.SHOW_RENDER.NEVER;
    view.nv.setSliceType(niivue.SLICE_TYPE.MULTIPLANAR);
    view.nv.scene.crosshairPos = view.nv.mm2frac(centre(volume, volume.labels.Truth).map((voxel, axis) => -voxel * volume.spacing[axis]));
    return view;
  }

  show(name) {
    this.names.forEach((each, place) => this.nv.volumes[place + 1].opacity = each === name ? 0.55 : 0);
    this.nv.updateGLVolume();
  }
}

// Three slices on a plain canvas; a click moves all of them to the place.
class Slices {
  static async on(canvas, volume) {
    const view = Object.assign(new Slices(), { canvas, volume, place: centre(volume, volume.labels.Truth) });
    canvas.addEventListener("click", (event) => view.move(event));
    return view;
  }

  show(name) {
    this.name = name;
    const { size, spacing, scan } = this.volume, marks = this.volume.labels[name];
    const known = new Map((name === "Errors" ? ERRORS : organs).map(([label, , , colour]) => [label, rgb(colour)]));
    const millimetres = size.map((side, axis) => side * spacing[axis]), planes = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];
    this.canvas.width = this.canvas.clientWidth;
    this.canvas.height = this.canvas.clientHeight;
    const wide = planes.reduce((sum, [across]) => sum + millimetres[across], 0), gap = 12;
    const scale = Math.min((this.canvas.width - 2 * gap) / wide, this.canvas.height / Math.max(...planes.map(([, down]) => millimetres[down])));
    const context = this.canvas.getContext("2d"), steps = [1, size[0], size[0] * size[1]];
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.drawn = [];
    let left = 0;
    for (const [across, down, fixed] of planes) {
      const picture = new ImageData(size[across], size[down]);
      for (let y = 0; y < size[down]; y++) for (let x = 0; x < size[across]; x++) {
        const voxel = x * steps[across] + y * steps[down] + this.place[fixed] * steps[fixed], grey = scan[voxel];
        const colour = marks && known.get(marks[voxel]);
        const at = 4 * (y * size[across] + x);
        for (let channel = 0; channel < 3; channel++) picture.data[at + channel] = colour ? 0.45 * grey + 0.55 * colour[channel] : grey;
        picture.data[at + 3] = 255;
      }
      const small = make("canvas", { width: size[across], height: size[down] });
      small.getContext("2d").putImageData(picture, 0, 0);
      const box = [left, 0, millimetres[across] * scale, millimetres[down] * scale];
      context.drawImage(small, ...box);
      this.drawn.push({ across, down, box });
      left += box[2] + gap;
    }
  }

  move(event) {
    const [x, y] = [event.offsetX, event.offsetY];
    for (const { across, down, box: [left, top, width, height] } of this.drawn) {
      if (x < left || x >= left + width || y >= top + height) continue;
      this.place[across] = Math.floor((x - left) / width * this.volume.size[across]);
      this.place[down] = Math.floor((y - top) / height * this.volume.size[down]);
    }
    this.show(this.name);
  }
}

const dialog = make("dialog", { "aria-labelledby": "viewer-title" });
const title = make("h2", { id: "viewer-title" }), close = make("button", { type: "button", class: "close" }, "Close");
const stage = make("div", { class: "stage" }), views = make("div", { class: "views", role: "group", "aria-label": "what is drawn over the scan" });
const legend = make("ul", { class: "legend" }), about = make("p", { class: "note", role: "status" });
dialog.append(make("header", {}, title, close), stage, views, legend, about);
document.body.append(dialog);
close.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => { if (!dialog.open) stage.replaceChildren(); }); // the event may come after the next case is asked for

const hasWebGL = () => Boolean(document.createElement("canvas").getContext("webgl2"));

async function open(name) {
  const mine = ++turn;
  const isLeft = () => mine !== turn || !dialog.open; // the reader has closed the dialog, or asked for a case since
  delete dialog.dataset.shown;
  title.textContent = `${name}, ${document.querySelector("h1").textContent}`;
  about.textContent = "The scan is being loaded.";
  views.replaceChildren();
  legend.replaceChildren();
  dialog.showModal();
  try {
    if (!cases.has(name)) cases.set(name, volumes(name));
    const volume = await cases.get(name);
    if (isLeft()) return;
    const canvas = make("canvas", { tabindex: "0", role: "img", "aria-label": `slices of ${name} with its label maps` });
    stage.replaceChildren(canvas);
    const view = await (hasWebGL() ? Rendered : Slices).on(canvas, volume);
    if (isLeft()) return;
    for (const choice of ["Prediction", "Truth", "Errors", "Scan alone"]) {
      if (choice !== "Scan alone" && !volume.labels[choice]) continue;
      const button = make("button", { type: "button", "aria-pressed": "false" }, choice);
      button.addEventListener("click", () => show(view, choice, button));
      views.append(button);
    }
    show(view, views.firstChild.textContent, views.firstChild);
    const every = volume.step > 1 ? `One voxel in ${volume.step} along each axis of the prepared scan is shown. ` : "";
    about.textContent = `${numbers(name)}${every}The patient's right is on the left. A click moves the cross.`;
    dialog.dataset.shown = name;
  } catch (error) {
    cases.delete(name);
    if (isLeft()) return;
    about.textContent = `The scan cannot be shown: ${error.message}.`;
  }
}

// What the page says of a case, as a sentence for whoever looks at its scan.
function numbers(name) {
  const tables = [...document.querySelectorAll("table.cases")];
  const told = tables.map((table) => {
    const row = [...table.tBodies[0].rows].find((one) => one.cells[0].textContent === name);
    const texts = [...table.tHead.rows[0].cells].slice(1).map((head, place) => `${head.textContent} ${row.cells[place + 1].textContent}`);
    return `${table.caption.textContent.split(",")[0]}: ${texts.join(", ")}. `;
  });
  return told.join("");
}

function show(view, choice, button) {
  for (const each of views.children) each.setAttribute("aria-pressed", String(each === button));
  const known = choice === "Errors" ? ERRORS : choice === "Scan alone" ? [] : organs;
  legend.replaceChildren(...known.map(([, short, name, colour]) => make("li", {}, make("span", { class: "chip", style: `background: ${colour}` }), short && short !== name ? `${short} ${name}` : name)));
  view.show(choice);
}

for (const cell of document.querySelectorAll("table.cases tbody th")) {
  const name = cell.textContent;
  if (!(name in predicted)) continue;
  const button = make("button", { type: "button" }, name);
  button.addEventListener("click", () => open(name));
  cell.replaceChildren(button);
}
