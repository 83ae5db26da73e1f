import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { blocks, diff, type Block, type Row, type Side } from "./diff";
import { count } from "./format";

/** Two answers side by side, what differs marked, long equal parts folded away. */
export function DiffView({ expected, actual }: { expected: string; actual: string }) {
  const parts = useMemo(() => blocks(diff(expected, actual)), [expected, actual]);
  return (
    <div class="diff" role="table" aria-label="Expected and actual answer">
      <div class="pair head" role="row">
        <div role="columnheader">Expected</div>
        <div role="columnheader">Actual</div>
      </div>
      {parts.map((block, at) => (
        <Lines key={`${at} ${expected.length}`} block={block} />
      ))}
    </div>
  );
}

function Lines({ block }: { block: Block }) {
  const open = useSignal(!block.folded);
  if (!open.value) {
    return (
      <button class="fold" onClick={() => (open.value = true)}>
        {count(block.rows.length)} equal {block.rows.length === 1 ? "line" : "lines"}
      </button>
    );
  }
  return (
    <>
      {block.rows.map((row, at) => (
        <Pair key={at} row={row} />
      ))}
    </>
  );
}

const Pair = ({ row }: { row: Row }) => (
  <div class={`pair ${row.kind}`} role="row">
    <Text side={row.expected} />
    <Text side={row.actual} />
  </div>
);

function Text({ side }: { side: Side | null }) {
  if (!side) return <div role="cell" class="none" aria-label="nothing" />;
  const [from, to] = side.mark ?? [0, 0];
  return (
    <div role="cell">
      {side.text.slice(0, from)}
      {to > from && <mark>{side.text.slice(from, to)}</mark>}
      {side.text.slice(to)}
    </div>
  );
}
