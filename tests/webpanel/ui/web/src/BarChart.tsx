import { short } from "./format";

export interface Bars {
  name: string;
  /** Name of a CSS variable. */
  colour: string;
  values: number[];
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [640, 220, 46, 24, 10];
const TICKS = 4;

/** A round number at or above the highest value, to end the axis with. */
function nice(highest: number): number {
  if (highest <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(highest));
  return ([1, 2, 4, 5, 10].find((step) => step * size >= highest) ?? 10) * size;
}

/** Bars a minute, side by side. */
export function BarChart({ minutes, bars, title }: { minutes: string[]; bars: Bars[]; title: string }) {
  const top = nice(Math.max(0, ...bars.flatMap((one) => one.values)));
  const slot = (WIDTH - LEFT) / Math.max(1, minutes.length);
  const width = Math.min(34, (slot * 0.7) / Math.max(1, bars.length));
  const y = (value: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  return (
    <figure class="barchart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}, ${minutes.length} minutes; the table below has the figures`}>
        {Array.from({ length: TICKS + 1 }, (_, at) => (top * at) / TICKS).map((value) => (
          <g key={value}>
            <line x1={LEFT} x2={WIDTH} y1={y(value)} y2={y(value)} />
            <text x={LEFT - 8} y={y(value) + 4} text-anchor="end">{short(value)}</text>
          </g>
        ))}
        {minutes.map((minute, at) => {
          const middle = LEFT + slot * (at + 0.5);
          return (
            <g key={minute}>
              {bars.map((one, number) => {
                const value = one.values[at] ?? 0;
                const x = middle + (number - bars.length / 2) * width;
                return (
                  <rect key={one.name} x={x + 1} width={width - 2} y={y(value)} height={Math.max(0, y(0) - y(value))} rx="2" style={`fill:var(--${one.colour})`}>
                    <title>{`${minute.slice(11, 16)} ${one.name}: ${value.toLocaleString("en-US")}`}</title>
                  </rect>
                );
              })}
              <text x={middle} y={HEIGHT - 6} text-anchor="middle">{minute.slice(11, 16)}</text>
            </g>
          );
        })}
      </svg>
      <ul class="legend">
        {bars.map((one) => (
          <li key={one.name}>
            <i style={`background:var(--${one.colour})`} />
            {one.name === "VIEW" ? "views" : "buys"}
          </li>
        ))}
      </ul>
    </figure>
  );
}
