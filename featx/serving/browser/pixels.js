// From the pixels of an image to the value of an input of the model, as `featx extract` prepares images: resampled
// as Pillow does it, with weights in fixed point and results in 8 bits after each direction.
"use strict";

const BITS = 22; // of a weight, after the point
const HALF = 2 ** (BITS - 1);

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

// Filter -> how far it reaches in output pixels, and its weight at a distance of 0 or more.
const FILTERS = {
  box: { reach: 0.5, weight: (x) => (x <= 0.5 ? 1 : 0) },
  bilinear: { reach: 1, weight: (x) => (x < 1 ? 1 - x : 0) },
  hamming: {
    reach: 1,
    weight: (x) => (x < 1 ? sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(Math.PI * x)) : 0),
  },
  bicubic: {
    reach: 2,
    weight: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0),
  },
  lanczos: { reach: 3, weight: (x) => (x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

// The pixels that each output pixel from `first` on is made of: where they begin, and their weights in fixed point.
function windowsOf(side, { resized, first, count, filter }) {
  const places = Array.from({ length: count }, (_, place) => first + place);
  const scale = side / resized;
  if (filter === "nearest") {
    let centre = scale * 0.5; // added up as Pillow does, for centres on an edge
    for (let place = 0; place < first; place++) {
      centre += scale;
    }
    return places.map(() => {
      const begin = Math.min(side - 1, Math.floor(centre));
      centre += scale;
      return { begin, weights: null };
    });
  }
  if (side === resized) {
    return places.map((place) => ({ begin: place, weights: null }));
  }
  const { reach, weight } = FILTERS[filter];
  const stretch = Math.max(scale, 1);
  return places.map((place) => {
    const centre = (place + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - reach * stretch + 0.5));
    const end = Math.min(side, Math.trunc(centre + reach * stretch + 0.5));
    const weights = [];
    for (let at = begin; at < end; at++) {
      const distance = (at - centre + 0.5) / stretch;
      // only a box tells the sides apart: it has its right edge, and not its left one
      weights.push(filter === "box" && distance === -0.5 ? 0 : weight(Math.abs(distance)));
    }
    const sum = weights.reduce((before, one) => before + one, 0);
    return { begin, weights: Int32Array.from(weights, (one) => toFixed(sum ? one / sum : one)) };
  });
}

function toFixed(weight) {
  return Math.trunc(weight * 2 ** BITS + (weight < 0 ? -0.5 : 0.5));
}

// Resample along one direction: `step` pixels apart lie neighbours of this direction, `across` lines beside each other.
function resample(from, windows, { lines, step, across, into, intoStep, intoAcross, channels }) {
  for (let line = 0; line < lines; line++) {
    for (let place = 0; place < windows.length; place++) {
      const { begin, weights } = windows[place];
      const start = (line * across + begin * step) * channels;
      const target = (line * intoAcross + place * intoStep) * channels;
      for (let channel = 0; channel < channels; channel++) {
        if (weights === null) {
          into[target + channel] = from[start + channel];
          continue;
        }
        let sum = HALF;
        for (let at = 0, source = start + channel; at < weights.length; at++, source += step * channels) {
          sum += from[source] * weights[at];
        }
        into[target + channel] = sum >> BITS; // a Uint8ClampedArray keeps 0 to 255
      }
    }
  }
}

// Python's round(): a half goes to the even neighbour.
function roundEven(x) {
  const below = Math.floor(x);
  return x - below === 0.5 ? below + (below % 2) : Math.round(x);
}

// Pixels of 3 channels, or of 1 if the model wants grey, from those with 4, of which the last is of no use.
function dropAlpha(rgba, grey) {
  const count = rgba.length / 4;
  const kept = new Uint8ClampedArray(count * (grey ? 1 : 3));
  for (let pixel = 0; pixel < count; pixel++) {
    const [from, into] = [4 * pixel, 3 * pixel];
    if (grey) {
      kept[pixel] = (rgba[from] * 19595 + rgba[from + 1] * 38470 + rgba[from + 2] * 7471 + 0x8000) >> 16;
    } else {
      kept[into] = rgba[from];
      kept[into + 1] = rgba[from + 1];
      kept[into + 2] = rgba[from + 2];
    }
  }
  return kept;
}

// The pixels (size, size, 3) of an image { width, height, data } with 4 channels, resized and cropped.
function cropImage({ width, height, data }, input) {
  const { size, resize, filter, crop } = input;
  const grey = input.channels === "L";
  const channels = grey ? 1 : 3;
  const shorter = Math.min(width, height);
  const whole = [width, height].map((side) => (crop === "squash" ? resize : Math.floor((resize * side) / shorter)));
  const [left, top] = whole.map((side) => roundEven((side - size) / 2));
  const columns = windowsOf(width, { resized: whole[0], first: left, count: size, filter });
  const rows = windowsOf(height, { resized: whole[1], first: top, count: size, filter });
  const firstRow = rows[0].begin;
  const last = rows[size - 1];
  const lines = last.begin + (last.weights ? last.weights.length : 1) - firstRow;
  const source = dropAlpha(data.subarray(firstRow * width * 4, (firstRow + lines) * width * 4), grey);
  const narrow = new Uint8ClampedArray(lines * size * channels);
  resample(source, columns, { lines, step: 1, across: width, into: narrow, intoStep: 1, intoAcross: size, channels });
  const pixels = new Uint8ClampedArray(size * size * channels);
  const shifted = rows.map(({ begin, weights }) => ({ begin: begin - firstRow, weights }));
  resample(narrow, shifted, { lines: size, step: size, across: 1, into: pixels, intoStep: size, intoAcross: 1, channels });
  return grey ? Uint8ClampedArray.from({ length: size * size * 3 }, (_, at) => pixels[Math.floor(at / 3)]) : pixels;
}

// The value of an input of the model for one image: its pixels, or normalised numbers.
function toInput(image, input) {
  const pixels = cropImage(image, input);
  if (input.dtype === "uint8") {
    return { type: "uint8", data: new Uint8Array(pixels.buffer), dims: [1, input.size, input.size, 3] };
  }
  const order = { RGB: [0, 1, 2], BGR: [2, 1, 0], L: [0] }[input.channels];
  const count = order.length;
  const area = input.size * input.size;
  const data = new Float32Array(area * count);
  const first = input.layout === "NCHW";
  for (let pixel = 0; pixel < area; pixel++) {
    order.forEach((channel, place) => {
      const number = (pixels[3 * pixel + channel] - input.mean[place]) / input.std[place];
      data[first ? place * area + pixel : pixel * count + place] = number;
    });
  }
  const sides = first ? [count, input.size, input.size] : [input.size, input.size, count];
  return { type: "float32", data, dims: [1, ...sides] };
}

// The bytes of a JPEG without the tags that let a browser turn it; other bytes as they are.
function withoutTurn(bytes) {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) {
    return [bytes];
  }
  const kept = [bytes.subarray(0, 2)];
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda && bytes[at + 1] !== 0xd9) {
    const end = at + 2 + bytes[at + 2] * 256 + bytes[at + 3];
    if (bytes[at + 1] !== 0xe1) {
      kept.push(bytes.subarray(at, end));
    }
    at = end;
  }
  return [...kept, bytes.subarray(at)];
}
