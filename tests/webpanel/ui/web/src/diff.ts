// Two answers as aligned lines, and within a line the part that differs.

export interface Side {
  text: string;
  /** Start and end of what differs from the other side. */
  mark: [number, number] | null;
}

export interface Row {
  kind: "same" | "changed" | "missing" | "extra";
  expected: Side | null;
  actual: Side | null;
}

/** JSON with one tag or row a line; other text as it is. */
export function lines(body: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return body.split("\n");
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [JSON.stringify(value)];
  const result: string[] = [];
  for (const [key, part] of Object.entries(value)) {
    if (Array.isArray(part) && part.some((item) => typeof item === "object")) {
      result.push(`${JSON.stringify(key)}: [`);
      for (const item of part) result.push(`  ${spaced(item)}`);
      result.push("]");
    } else {
      result.push(`${JSON.stringify(key)}: ${spaced(part)}`);
    }
  }
  return result;
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    const parts = Object.entries(value).map(([key, part]) => `${JSON.stringify(key)}: ${spaced(part)}`);
    return `{${parts.join(", ")}}`;
  }
  return JSON.stringify(value);
}

/** Rows of a side-by-side view, by the longest common subsequence of lines. */
export function diff(expectedBody: string, actualBody: string): Row[] {
  const left = lines(expectedBody);
  const right = lines(actualBody);
  const lengths = common(left, right);
  const rows: Row[] = [];
  let gone: string[] = [];
  let come: string[] = [];
  const flush = () => {
    for (let at = 0; at < Math.max(gone.length, come.length); at++) rows.push(pair(gone[at], come[at]));
    gone = [];
    come = [];
  };
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      flush();
      const side = { text: left[i++]!, mark: null };
      rows.push({ kind: "same", expected: side, actual: { text: right[j++]!, mark: null } });
    } else if (j >= right.length || (i < left.length && lengths[i + 1]![j]! >= lengths[i]![j + 1]!)) {
      gone.push(left[i++]!);
    } else {
      come.push(right[j++]!);
    }
  }
  flush();
  return rows;
}

/** Table of lengths of the longest common subsequence of the two ends from i and j on. */
function common(left: string[], right: string[]): Uint16Array[] {
  const table = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i--) {
    const [row, below] = [table[i]!, table[i + 1]!];
    for (let j = right.length - 1; j >= 0; j--) {
      row[j] = left[i] === right[j] ? below[j + 1]! + 1 : Math.max(below[j]!, row[j + 1]!);
    }
  }
  return table;
}

const WORD = /[\w.:-]/;

function pair(expected: string | undefined, actual: string | undefined): Row {
  if (actual === undefined) return { kind: "missing", expected: whole(expected!), actual: null };
  if (expected === undefined) return { kind: "extra", expected: null, actual: whole(actual) };
  let start = 0;
  const most = Math.min(expected.length, actual.length);
  while (start < most && expected[start] === actual[start]) start++;
  let end = 0;
  while (end < most - start && expected.at(-1 - end) === actual.at(-1 - end)) end++;
  // Whole words and numbers are marked, not the digits that happen to differ.
  while (start > 0 && WORD.test(expected[start - 1]!)) start--;
  while (end > 0 && WORD.test(expected.at(-end)!)) end--;
  return {
    kind: "changed",
    expected: { text: expected, mark: [start, expected.length - end] },
    actual: { text: actual, mark: [start, actual.length - end] },
  };
}

const whole = (text: string): Side => ({ text, mark: [0, text.length] });

export interface Block {
  rows: Row[];
  /** Equal rows that may be folded away. */
  folded: boolean;
}

/** Folds away runs of equal rows, but for a few beside a difference. */
export function blocks(rows: Row[], around = 2): Block[] {
  const near = rows.map((_, at) =>
    rows.slice(Math.max(0, at - around), at + around + 1).some((row) => row.kind !== "same"),
  );
  const result: Block[] = [];
  rows.forEach((row, at) => {
    const folded = !near[at];
    const last = result.at(-1);
    if (last && last.folded === folded) last.rows.push(row);
    else result.push({ rows: [row], folded });
  });
  return result;
}
