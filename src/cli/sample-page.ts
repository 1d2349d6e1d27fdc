/** Draws the page of the demo's scan: grey paper with a delivery note on it, a little askew, as a scanner's glass sees it. */

/** 150 dots per inch, the usual "scan to mail" of a device. */
export const PAGE_WIDTH = 1240;
export const PAGE_HEIGHT = 1754;

/** Rise over run of the crooked sheet. */
const SKEW = 0.006;
const PAPER = 241;
const BLACK = 38;
/** Half the width of the grain. It decides how far the image compresses, so the size of the file: about a megabyte. */
const GRAIN = 2.3;

/** A 5 x 7 alphabet: the letter, then its seven rows from the top, each a base-32 digit whose five bits are the dots from left to right. */
const ALPHABET =
  "Aehhvhhh Buhhuhhu Cehggghe Duhhhhhu Evgguggv Fvgguggg Gehgnhhf Hhhhvhhh Ie44444e J72222ic Khikokih Lggggggv Mhrllhhh Nhpljhhh " +
  "Oehhhhhe Puhhuggg Qehhhlid Ruhhukih Sfgge11u Tv444444 Uhhhhhhe Vhhhhha4 Whhhllrh Xhha4ahh Yhha4444 Zv1248gv a00e1fhf bggmphhu " +
  "c00egghe d11djhhf e00ehvge f698s888 g0fhhf1e hggmphhh i40c444e j20622ic kggikoki lc44444e m00qllhh n00mphhh o00ehhhe p00uhugg " +
  "q00djf11 r00mpggg s00ege1u t88s8896 u00hhhjd v00hhha4 w00hhlla x00ha4ah y00hhf1e z00v248v 0ehjlphe 14c4444e 2eh1248v 3v2421he " +
  "426aiv22 5vgu11he 668guhhe 7v124888 8ehhehhe 9ehhf12c .00000cc ,0000c48 :0cc0cc0 -000v000 /01248g0 (2488842 )8422248 #aavavaa";
const GLYPHS: ReadonlyMap<string, string> = new Map(ALPHABET.split(" ").map((entry) => [entry.charAt(0), entry.slice(1)]));

/** How dark each dot is, from 0 (paper) to 1 (ink), before the scanner's blur and grain. */
class Sheet {
  readonly ink = new Float32Array(PAGE_WIDTH * PAGE_HEIGHT);

  /** A filled rectangle; its lines follow the skew of the sheet. */
  rectangle(x: number, y: number, width: number, height: number, darkness = 1): void {
    for (let column = Math.round(x); column < Math.round(x + width); column++) {
      const top = Math.round(y + column * SKEW);
      for (let row = top; row < top + Math.round(height); row++) this.dot(column - (row - PAGE_HEIGHT / 2) * SKEW, row, darkness);
    }
  }

  /** Text with its upper left corner at x, y; `size` is the width of one of a letter's 5 x 7 dots. */
  text(x: number, y: number, size: number, words: string, darkness = 1): void {
    for (const [index, letter] of words.split("").entries()) {
      this.#glyph(letter, (column, row) => this.rectangle(x + (index * 6 + column) * size, y + row * size, size, size, darkness));
    }
  }

  /** Text on a slope, for the stamp: each dot a small disc. */
  slantedText(x: number, y: number, size: number, angle: number, words: string, darkness: number): void {
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    for (const [index, letter] of words.split("").entries()) {
      this.#glyph(letter, (column, row) => {
        const [across, down] = [(index * 6 + column) * size, row * size];
        this.disc(x + across * cos - down * sin, y + across * sin + down * cos, size * 0.62, darkness);
      });
    }
  }

  line(fromX: number, fromY: number, toX: number, toY: number, thickness: number, darkness: number): void {
    const steps = Math.ceil(Math.hypot(toX - fromX, toY - fromY));
    for (let step = 0; step <= steps; step++) {
      const along = step / steps;
      this.disc(fromX + (toX - fromX) * along, fromY + (toY - fromY) * along, thickness / 2, darkness);
    }
  }

  disc(x: number, y: number, radius: number, darkness: number): void {
    for (let row = Math.floor(y - radius); row <= y + radius; row++) {
      for (let column = Math.floor(x - radius); column <= x + radius; column++) {
        if (Math.hypot(column - x, row - y) <= radius) this.dot(column, row, darkness);
      }
    }
  }

  dot(x: number, y: number, darkness: number): void {
    const [column, row] = [Math.round(x), Math.round(y)];
    if (column < 0 || column >= PAGE_WIDTH || row < 0 || row >= PAGE_HEIGHT) return;
    const at = row * PAGE_WIDTH + column;
    this.ink[at] = Math.max(this.ink[at] ?? 0, darkness);
  }

  #glyph(letter: string, put: (column: number, row: number) => void): void {
    for (const [row, digit] of (GLYPHS.get(letter) ?? "0000000").split("").entries()) {
      const bits = Number.parseInt(digit, 32);
      for (let column = 0; column < 5; column++) if ((bits >> (4 - column)) & 1) put(column, row);
    }
  }
}

/** The page as PAGE_WIDTH x PAGE_HEIGHT octets of grey, 0 black, rows from the top. The same octets every time. */
export function drawSamplePage(): Buffer {
  const sheet = new Sheet();
  drawDeliveryNote(sheet);
  return expose(sheet.ink);
}

const ROWS = [
  ["1", "A4 paper, 80 g, box of 5 reams", "12", "23.90", "286.80"],
  ["2", "Toner cartridge, black", "4", "118.00", "472.00"],
  ["3", "Waste toner box", "2", "31.50", "63.00"],
  ["4", "Staples, type 3, 5000 pieces", "6", "14.20", "85.20"],
  ["5", "Maintenance kit, 200000 pages", "1", "349.00", "349.00"],
  ["6", "Labels, A4, 24 per sheet", "10", "9.80", "98.00"],
  ["7", "Archive boxes, grey", "20", "2.35", "47.00"],
] as const;

const COLUMNS = [110, 190, 740, 850, 990, 1130] as const;

function drawDeliveryNote(sheet: Sheet): void {
  sheet.text(110, 100, 7, "CONTOSO");
  sheet.text(112, 168, 2.4, "Office supplies - Warehouse 2", 0.9);
  sheet.text(820, 106, 3, "Delivery note", 0.95);
  sheet.text(820, 142, 2.4, "No. 2026-11-0457", 0.9);
  sheet.text(820, 170, 2.4, "Date: 02/11/2026", 0.9);
  sheet.rectangle(110, 215, 1020, 4);

  for (const [line, words] of [
    "Fabrikam",
    "Goods inwards, door 4",
    "Plant road 17",
    "Order: 8841-B",
    "Your contact: purchasing",
  ].entries()) {
    sheet.text(110, 270 + line * 34, 2.6, words, 0.92);
  }

  const top = 500;
  sheet.rectangle(COLUMNS[0], top, 1020, 46, 0.22);
  for (const [index, title] of ["Pos", "Article", "Qty", "Price", "Amount"].entries()) {
    sheet.text((COLUMNS[index] ?? 0) + 10, top + 14, 2.6, title);
  }
  for (const [row, cells] of ROWS.entries()) {
    for (const [column, cell] of cells.entries()) {
      // Figures stand to the right, under each other.
      const left = (COLUMNS[column] ?? 0) + 10;
      const right = (COLUMNS[column + 1] ?? 1130) - 12;
      sheet.text(column >= 2 ? right - cell.length * 6 * 2.4 : left, top + 64 + row * 52, 2.4, cell, 0.92);
    }
  }
  const bottom = top + 46 + ROWS.length * 52;
  for (const x of COLUMNS) sheet.rectangle(x, top, 2, bottom - top, 0.85);
  for (let row = 0; row <= ROWS.length; row++) sheet.rectangle(COLUMNS[0], top + 46 + row * 52, 1020, 2, 0.85);
  sheet.rectangle(COLUMNS[0], top, 1020, 2, 0.85);
  sheet.text(850, bottom + 26, 2.8, "Total   1401.00");
  sheet.rectangle(850, bottom + 60, 280, 3);

  for (const [line, words] of [
    "Goods remain our property until paid in full.",
    "Please check the number of parcels and report damage",
    "on the day of delivery. Returns only with this note.",
  ].entries()) {
    sheet.text(110, bottom + 130 + line * 32, 2.2, words, 0.85);
  }

  drawSignature(sheet, 140, 1440);
  sheet.rectangle(110, 1490, 380, 2, 0.8);
  sheet.text(110, 1502, 2, "Received in good order (signature)", 0.8);
  drawStamp(sheet, 850, 1330);
  sheet.text(560, 1660, 2, "Page 1 / 1", 0.75);
  for (const y of [PAGE_HEIGHT / 2 - 236, PAGE_HEIGHT / 2 + 236]) drawPunchHole(sheet, 46, y);
}

/** A pen stroke: two waves over each other that run out. */
function drawSignature(sheet: Sheet, x: number, y: number): void {
  let [lastX, lastY] = [x, y];
  for (let step = 1; step <= 260; step++) {
    const fade = 1 - step / 330;
    const nextX = x + step * 1.05 + Math.sin(step / 7) * 14;
    const nextY = y - step * 0.1 + Math.sin(step / 9.5) * 42 * fade + Math.cos(step / 4.1) * 13 * fade;
    sheet.line(lastX, lastY, nextX, nextY, 3.4, 0.82);
    [lastX, lastY] = [nextX, nextY];
  }
}

/** Two frames and a word, put on in a hurry. */
function drawStamp(sheet: Sheet, x: number, y: number): void {
  const [angle, darkness] = [-0.14, 0.52];
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const place = (across: number, down: number): [number, number] => [x + across * cos - down * sin, y + across * sin + down * cos];
  for (const inset of [0, 9]) {
    const corners = [place(inset, inset), place(300 - inset, inset), place(300 - inset, 130 - inset), place(inset, 130 - inset)] as const;
    for (const [index, from] of corners.entries()) {
      const to = corners[(index + 1) % 4] ?? from;
      sheet.line(...from, ...to, inset === 0 ? 5 : 2, darkness);
    }
  }
  sheet.slantedText(...place(28, 26), 5, angle, "RECEIVED", darkness);
  sheet.slantedText(...place(70, 84), 3.2, angle, "03/11/2026", darkness);
}

/** The lid of the scanner is dark behind a hole. */
function drawPunchHole(sheet: Sheet, x: number, y: number): void {
  sheet.disc(x, y, 17, 0.62);
  sheet.disc(x + 2, y + 3, 13, 0.74);
}

/** What the sensor makes of it: a soft edge on everything, uneven light, paper grain and a few specks of dust. */
function expose(ink: Float32Array): Buffer {
  const page = Buffer.alloc(PAGE_WIDTH * PAGE_HEIGHT);
  const noise = grain();
  for (let row = 0; row < PAGE_HEIGHT; row++) {
    for (let column = 0; column < PAGE_WIDTH; column++) {
      const at = row * PAGE_WIDTH + column;
      const darkness = blurred(ink, row, column);
      const light = PAPER - 26 * Math.exp(-column / 26) - 9 * Math.exp(-(PAGE_HEIGHT - row) / 60) - 5 * (column / PAGE_WIDTH) ** 2;
      const dust = noise() > 0.99996 ? 90 : 0;
      const value = light - darkness * (light - BLACK) - dust + (noise() + noise() - 1) * GRAIN * 2;
      page[at] = Math.max(0, Math.min(255, Math.round(value)));
    }
  }
  return page;
}

/** Half of the dot itself, the other half of its neighbours. */
function blurred(ink: Float32Array, row: number, column: number): number {
  const at = row * PAGE_WIDTH + column;
  const [left, right] = [ink[at - 1] ?? 0, ink[at + 1] ?? 0];
  const [above, below] = [ink[at - PAGE_WIDTH] ?? 0, ink[at + PAGE_WIDTH] ?? 0];
  return 0.5 * (ink[at] ?? 0) + 0.125 * (left + right + above + below);
}

/** Numbers from 0 to 1 that are the same in every run (xorshift of 32 bits). */
function grain(): () => number {
  let state = 0x2f6e2b1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
