/** The demo's scan: a PDF of one page, about a megabyte, in a mail as a multifunction printer sends it. Made here, so that the repository holds no binary. */
import { deflateSync } from "node:zlib";
import { drawSamplePage, PAGE_HEIGHT, PAGE_WIDTH } from "./sample-page.ts";

/** A4 in points of 1/72 inch. */
const A4 = [595, 842] as const;

/** Longest line of base64 (RFC 2045 section 6.8). */
const BASE64_LINE = 76;

export interface SampleScanOptions {
  /** Address in From:, as configured in the device. */
  readonly from: string;
  readonly to: string;
  /** Default `Scan from floor 2`. */
  readonly subject?: string | undefined;
}

/**
 * Header section and body with CRLF line ends, dots not stuffed. Without Date and Message-ID, as devices without a clock leave them out: adding them is the
 * relay's work. From and To are written as given.
 */
export function makeSampleScan(options: SampleScanOptions): Buffer {
  const boundary = "----=_Scan_0001_7D2C31";
  const head = [
    `From: ${options.from}`,
    `To: ${options.to}`,
    `Subject: ${options.subject ?? "Scan from floor 2"}`,
    "MIME-Version: 1.0",
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    "",
    `--${boundary}`,
    "Content-Type: text/plain; charset=us-ascii",
    "Content-Transfer-Encoding: 7bit",
    "",
    "Scanned document is attached.",
    "Resolution: 150 dpi, grey, A4, 1 page",
    "",
    `--${boundary}`,
    'Content-Type: application/pdf; name="SCAN0001.pdf"',
    "Content-Transfer-Encoding: base64",
    'Content-Disposition: attachment; filename="SCAN0001.pdf"',
    "",
    "",
  ];
  const tail = ["", `--${boundary}--`, ""];
  return Buffer.concat([Buffer.from(head.join("\r\n")), base64Lines(makeSamplePdf()), Buffer.from(tail.join("\r\n"))]);
}

/** A PDF 1.4 file with one A4 page that is one grey image. The same octets with every call of one Node version. */
export function makeSamplePdf(): Buffer {
  const [width, height] = A4;
  const image = deflateSync(drawSamplePage());
  const paint = Buffer.from(`q ${width} 0 0 ${height} 0 0 cm /Page Do Q`);
  return pdfFile([
    ["<< /Type /Catalog /Pages 2 0 R >>"],
    ["<< /Type /Pages /Kids [3 0 R] /Count 1 >>"],
    [`<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${width} ${height}] /Contents 4 0 R /Resources << /XObject << /Page 5 0 R >> >> >>`],
    [`<< /Length ${paint.length} >>`, paint],
    [
      `<< /Type /XObject /Subtype /Image /Width ${PAGE_WIDTH} /Height ${PAGE_HEIGHT} /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode /Length ${image.length} >>`,
      image,
    ],
    ["<< /Title (Scan) /Producer (Postern demo) >>"],
  ]);
}

/** A dictionary, and a stream where the object has one. */
type PdfObject = readonly [dictionary: string, stream?: Buffer];

/** Writes objects 1, 2 … with the table of their offsets (ISO 32000-1, 7.5). The first is the catalog, the last the information. */
function pdfFile(objects: readonly PdfObject[]): Buffer {
  // Four octets over 127 tell transfer programs that the file is binary.
  const parts: Buffer[] = [Buffer.from("%PDF-1.4\n%\u00e2\u00e3\u00cf\u00d3\n", "latin1")];
  const offsets: number[] = [];
  let size = parts[0]?.length ?? 0;
  const add = (part: Buffer): void => {
    parts.push(part);
    size += part.length;
  };
  for (const [index, [dictionary, stream]] of objects.entries()) {
    offsets.push(size);
    add(Buffer.from(`${index + 1} 0 obj\n${dictionary}\n`));
    if (stream) [Buffer.from("stream\n"), stream, Buffer.from("\nendstream\n")].forEach(add);
    add(Buffer.from("endobj\n"));
  }
  const table = size;
  // Each entry is exactly 20 octets, line end included.
  const rows = offsets.map((offset) => `${String(offset).padStart(10, "0")} 00000 n \n`).join("");
  const count = objects.length + 1;
  add(
    Buffer.from(
      `xref\n0 ${count}\n0000000000 65535 f \n${rows}trailer\n<< /Size ${count} /Root 1 0 R /Info ${objects.length} 0 R >>\nstartxref\n${table}\n%%EOF\n`,
    ),
  );
  return Buffer.concat(parts);
}

function base64Lines(octets: Buffer): Buffer {
  const text = octets.toString("base64");
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += BASE64_LINE) lines.push(text.slice(at, at + BASE64_LINE));
  return Buffer.from(lines.join("\r\n"));
}
