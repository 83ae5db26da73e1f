import { effect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { figure, short } from "./format";
import { chartWindow, history, historyVersion } from "./state";
import { colour, paint } from "./theme";
import type { Column } from "./types";

export interface Series {
  name: string;
  /** Name of a CSS variable. */
  colour: string;
  data: Column;
  /** Beside the name, while no point is pointed at. */
  shown: string;
  fill?: boolean;
}

interface ChartProps {
  title: string;
  unit: string;
  series: Series[];
  bars?: boolean;
  /** Said in place of an empty chart. */
  quiet?: string;
  children?: ComponentChildren;
}

const HEIGHT = 168;
const LEAST_S = 30;
const sync = uPlot.sync("time");

/** A chart over time with a legend that tells the values under the pointer, in all charts at once. */
export function Chart({ title, unit, series, bars, quiet, children }: ChartProps) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const current = useRef(series);
  current.current = series;
  const [pointed, setPointed] = useState<number | null>(null);
  const names = series.map((one) => one.name).join();

  useEffect(() => {
    const box = element.current!;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(box.clientWidth, current.current, bars ?? false, setPointed), data(current.current), box);
    };
    // Colours are part of the canvas: paint anew when they change.
    const stop = effect(() => {
      void paint.value;
      make();
    });
    const resize = new ResizeObserver(() => {
      if (plot.current && box.clientWidth !== plot.current.width) {
        plot.current.setSize({ width: box.clientWidth, height: HEIGHT });
      }
    });
    resize.observe(box);
    return () => {
      stop();
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, bars]);

  const first = series[0]?.data;
  useEffect(() => {
    plot.current?.setData(data(current.current));
  }, [historyVersion.value, chartWindow.value, first]);

  const values = series.map((one) =>
    pointed === null ? one.shown : figure(one.data[pointed]),
  );
  return (
    <figure class="chart card">
      <figcaption>
        <h3>
          {title} <small>{unit}</small>
        </h3>
        {children}
      </figcaption>
      <ul class="legend">
        {series.map((one, at) => (
          <li key={one.name}>
            <i style={`background:var(--${one.colour})`} />
            {one.name} <b>{values[at]}</b>
          </li>
        ))}
        {series.length === 0 && <li>{quiet ?? "no data yet"}</li>}
      </ul>
      <div
        class="plot"
        ref={element}
        role="img"
        aria-label={`${title}, ${unit}: ${series.map((one) => `${one.name} ${one.shown}`).join(", ")}`}
      />
      {quiet && series.length > 0 && <p class="quiet-note">{quiet}</p>}
    </figure>
  );
}

/** Times in seconds first. uPlot wants columns of the same length. */
function data(series: Series[]): uPlot.AlignedData {
  const times = (history.columns.at_ms ?? []).map((ms) => (ms ?? 0) / 1000);
  return [times, ...series.map((one) => times.map((_, at) => one.data[at] ?? null))];
}

function options(
  width: number,
  series: Series[],
  bars: boolean,
  onPoint: (at: number | null) => void,
): uPlot.Options {
  const line = colour("line");
  const axis = { stroke: colour("muted"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 24, 0, 0],
    cursor: { sync: { key: sync.key }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
    scales: {
      x: {
        range: (_plot, low, high) => {
          const seconds = chartWindow.peek();
          const from = seconds ? high - seconds : low;
          return [Math.min(from ?? 0, (high ?? 0) - LEAST_S), high ?? LEAST_S];
        },
      },
      y: { range: (_plot, _low, high) => [0, Math.max(high ?? 0, 1e-9) > 1e-9 ? (high ?? 1) * 1.12 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 70, values: (_plot, ticks) => ticks.map(clock) },
      { ...axis, grid: { stroke: line, width: 1 }, size: 44, space: 36, values: (_plot, ticks) => ticks.map(short) },
    ],
    series: [
      {},
      ...series.map((one) => {
        const stroke = colour(one.colour);
        return {
          stroke,
          width: 1.6,
          points: { show: false },
          ...(bars ? { paths: uPlot.paths.bars!({ size: [0.8, 14, 2], align: 0 }), fill: stroke, width: 0 } : {}),
          ...(one.fill && !bars ? { fill: faint(stroke) } : {}),
        };
      }),
    ],
    hooks: {
      setCursor: [
        (plot) => {
          const at = plot.cursor.idx;
          onPoint(at === undefined || (plot.cursor.left ?? -1) < 0 ? null : at);
        },
      ],
    },
  };
}

const faint = (rgb: string) => rgb.replace("rgb(", "rgba(").replace(")", ", 0.14)");

function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}
