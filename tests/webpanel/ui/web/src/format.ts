// Numbers, times and durations as text.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);
export const oneDecimal = (value: number): string => oneDigit.format(value);

/** A rate or a latency: more digits the smaller it is; a dash if there is none. */
export function figure(value: number | null | undefined, unit = ""): string {
  if (value === null || value === undefined) return "–";
  const text =
    value >= 100 || value === 0 ? whole.format(value) : value >= 10 ? oneDigit.format(value) : value.toFixed(2);
  return unit ? `${text} ${unit}` : text;
}

/** 1200 -> 1.2k, for axes. */
export function short(value: number): string {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (Math.abs(value) >= size) return `${+(value / size).toPrecision(3)}${unit}`;
  }
  return `${+value.toPrecision(3)}`;
}

/** Seconds as 4:05 or 1:02:09. */
export function duration(seconds: number): string {
  const all = Math.max(0, Math.round(seconds));
  const two = (part: number) => String(part).padStart(2, "0");
  const minutes = Math.floor(all / 60);
  return minutes < 60
    ? `${minutes}:${two(all % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(all % 60)}`;
}

export const percent = (share: number): string =>
  `${share === 100 || share === 0 ? share : share.toFixed(share > 99.9 ? 3 : 1)}\u00a0%`;

/** What people may type as a time: with T or a space, seconds and milliseconds if they like. */
export const TIME_PATTERN = "\\s*\\d{4}-\\d\\d-\\d\\d[ T]\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,3})?)?\\s*";

/** A typed time as the contract writes it, with seconds and without a zone. */
export function isoTime(typed: string): string {
  const text = typed.trim().replace(" ", "T");
  return text.length === 16 ? `${text}:00` : text;
}

/** An ISO time without its T and zone. */
export const plainTime = (iso: string | null): string =>
  iso ? iso.replace("T", " ").replace(/Z$/, "").replace(/\.\d+$/, "") : "–";
